//! Starting a reply: the one transaction in which every mutation that starts a reply checks its input against the
//! database, inserts the rows, registers the log and stores the idempotency key. A separate task then writes the reply.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::write::Job;
use super::{Engine, Replies};
use crate::domain::chats::{self, NewChat, NewChatPlan, tree};
use crate::domain::idempotency::{self, Answer, Key};
use crate::domain::tokens::message_tokens;
use crate::domain::usage::quotas;
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::{MessageRole, MessageStatus};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::{character, chat, message};
use crate::events::Event;
use crate::storage;
use crate::storage::chats::Readable;

/// A call that adds messages to a chat.
pub(super) struct Call {
    /// The messages to add.
    pub(super) addition: Addition,
    /// The model of the reply. If none, the chat's model.
    pub(super) model_id: Option<String>,
    /// The idempotency key.
    pub(super) key: Option<Key>,
}

/// The messages that a call adds.
pub(super) enum Addition {
    /// The first message of a new chat, and a reply to it.
    First { new_chat: NewChat, content: String },
    /// A message below another one (if none, below the last message of the active branch), and a reply to it.
    Below { chat_id: ChatId, parent_id: Option<MessageId>, content: String },
    /// A sibling of a message with other content. If it is a message of the user, also a reply to the sibling.
    Version { of: MessageId, content: String },
    /// A sibling of a reply, or a reply to a message of the user.
    Reply { of: MessageId },
}

/// The result of a call.
#[derive(Debug, Clone)]
pub struct Started {
    /// The chat.
    pub chat: chat::Model,
    /// The new message, or the message that is answered.
    pub message: message::Model,
    /// The reply to it, which is now being written. None if an assistant's message was edited.
    pub reply: Option<message::Model>,
}

/// The chat to which messages are added, and the message below which they are added.
struct Target {
    chat: chat::Model,
    character: Option<character::Model>,
    parent: Option<message::Model>,
    /// For a new chat, the rows that must be inserted first.
    plan: Option<NewChatPlan>,
    /// The author and the text of the new message, if there is one.
    message: Option<(MessageRole, String)>,
    /// Whether a reply is added.
    is_answered: bool,
}

/// The message that a call names, and its chat, which is locked until the transaction ends.
struct Subject {
    chat: chat::Model,
    message: message::Model,
}

impl Replies {
    /// Adds messages to a chat, and starts the reply among them. The new branch becomes the active one.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for a chat, message or character that is not visible to the viewer;
    /// [`Error::Conflict`] if the parent is still streaming, or if the idempotency key was used with other input;
    /// [`Error::QuotaExceeded`]; [`Error::RateLimited`] and [`Error::Unavailable`] when too many replies are running;
    /// [`Error::Unavailable`] while this node does not hold its lease.
    pub(super) async fn start(&self, viewer: &Viewer, call: Call) -> Result<Started> {
        let engine = &self.0;
        if !engine.journal.is_lease_held() {
            return Err(Error::Unavailable {
                message: "The server has lost its connection to the database. Try again.",
                retry_after: Some(Duration::from_secs(5)),
            });
        }
        let Call { addition, model_id, key } = call;
        let now = engine.clock.now();
        let [message_id, reply_id] = [(); 2].map(|()| MessageId(engine.ids.next(now)));
        let chat_id = ChatId(engine.ids.next(now));

        let transaction = engine.database.begin().await?;
        let subject = Subject::find(&transaction, viewer, &addition).await?;
        let idempotency_key = key.as_ref().map(|key| key.key.clone());
        if let Some(key) = key {
            let answer = addition.answer(subject.as_ref(), chat_id, message_id, reply_id);
            if let Some(first) = idempotency::take(&transaction, key, answer, now).await? {
                return started_before(&transaction, viewer, first).await;
            }
        }
        let target = engine.target(&transaction, viewer, addition, subject, chat_id, now).await?;
        let Target { mut chat, character, parent, plan, message, is_answered } = target;
        let chat_event = match &plan {
            Some(_) => Some(Event::ChatAdded(chat.id)),
            // Messages at the end of the active branch do not change which branch is active.
            None if parent.as_ref().map(|parent| parent.id) == chat.leaf_id => None,
            None => Some(Event::ChatChanged(chat.id)),
        };
        if let Some(plan) = plan {
            plan.write(&transaction).await?;
        }
        let message = message.map(|(role, content)| message::Model {
            idempotency_key: idempotency_key.clone(),
            ..chats::message(message_id, chat.id, role, &content, parent.as_ref(), now)
        });
        let reply = match is_answered {
            true => {
                let wanted = model_id.as_deref().unwrap_or(&chat.model_id);
                let model = chats::available_model(&engine.models, wanted, "modelId")?;
                let registration = engine.running.register(reply_id, chat.id, viewer.user_id)?;
                Some((model, registration))
            }
            false => None,
        };
        let question = message.as_ref().or(parent.as_ref());
        let new = reply.as_ref().map(|(model, _)| message::Model {
            status: MessageStatus::Streaming,
            boot_id: Some(engine.boot),
            model_id: Some(model.id.clone()),
            idempotency_key: idempotency_key.filter(|_| message.is_none()),
            branch_tokens: question.map_or(0, |question| question.branch_tokens),
            completed_at: None,
            ..chats::message(reply_id, chat.id, MessageRole::Assistant, "", question, now)
        });
        let has_message = message.is_some();
        let mut rows: Vec<message::Model> = message.into_iter().chain(new).collect();
        tree::append(&transaction, &mut chat, parent.as_ref(), &mut rows).await?;
        chat.active_at = now;
        storage::chats::update(&transaction, chat.clone()).await?;
        let chain = reply.as_ref().map(|(model, _)| engine.models.chain(&model.id)).unwrap_or_default();
        if let Some(row) = rows.last().filter(|_| reply.is_some()) {
            let instructions = character.as_ref().map_or(0, |character| message_tokens(&character.system_prompt));
            let start = quotas::Start {
                user: viewer.user_id,
                chain: &chain,
                input_tokens: row.branch_tokens.saturating_add(instructions),
                max_output_tokens: character
                    .as_ref()
                    .and_then(|character| character.max_output_tokens)
                    .and_then(|most| u32::try_from(most).ok()),
                now,
            };
            quotas::reserve(&transaction, reply_id, start).await?;
        }
        transaction.commit().await?;
        let added = rows.iter().map(|row| Event::MessageAdded(chat.id, row.id));
        engine.bus.publish(viewer.user_id, &chat_event.into_iter().chain(added).collect::<Vec<_>>());

        let mut rows = rows.into_iter();
        let message = if has_message { rows.next() } else { parent };
        let message = message.ok_or_else(|| Error::internal("a reply without a message"))?;
        let reply = reply.zip(rows.next()).map(|((_, registration), reply)| {
            let (row, question) = (reply.clone(), message.clone());
            engine.spawn(Job { registration, reply: row, question, chat: chat.clone(), character, chain });
            reply
        });
        Ok(Started { chat, message, reply })
    }
}

impl Addition {
    /// The ids of the result, which are stored with an idempotency key. Without a subject, the call fails unless the
    /// key is known.
    fn answer(
        &self,
        subject: Option<&Subject>,
        new_chat: ChatId,
        new_message: MessageId,
        new_reply: MessageId,
    ) -> Answer {
        let of_subject = subject.map_or(new_chat, |subject| subject.chat.id);
        let (chat_id, message_id, has_reply) = match self {
            Self::First { .. } => (new_chat, Some(new_message), true),
            Self::Below { chat_id, .. } => (*chat_id, Some(new_message), true),
            Self::Version { .. } => (of_subject, Some(new_message), subject.is_some_and(Subject::is_of_user)),
            Self::Reply { .. } => (of_subject, subject.and_then(Subject::question_id), true),
        };
        Answer { chat_id, message_id, reply_id: has_reply.then_some(new_reply) }
    }
}

impl Subject {
    /// None if the call names no message, or one that the viewer does not see.
    async fn find(transaction: &impl ConnectionTrait, viewer: &Viewer, addition: &Addition) -> Result<Option<Self>> {
        let (Addition::Version { of: id, .. } | Addition::Reply { of: id }) = addition else { return Ok(None) };
        let chat = storage::chats::lock_of_message(transaction, viewer.user_id, *id).await?;
        let Some(chat) = chat else { return Ok(None) };
        let message = find_in(transaction, &chat, *id).await?;
        Ok(message.map(|message| Self { chat, message }))
    }

    fn is_of_user(&self) -> bool {
        self.message.role == MessageRole::User
    }

    /// The message of the user that another reply answers.
    fn question_id(&self) -> Option<MessageId> {
        if self.is_of_user() { Some(self.message.id) } else { self.message.parent_id }
    }
}

impl Engine {
    /// Finds the chat and the parent of the new messages. The chat is locked until the transaction ends.
    async fn target(
        &self,
        transaction: &impl ConnectionTrait,
        viewer: &Viewer,
        addition: Addition,
        subject: Option<Subject>,
        chat_id: ChatId,
        now: DateTime<Utc>,
    ) -> Result<Target> {
        let (chat, parent, message, is_answered) = match addition {
            Addition::First { new_chat, content } => {
                let (models, ids) = (&self.models, &self.ids);
                let plan =
                    NewChatPlan::make(transaction, viewer, &new_chat, "newChat.", chat_id, models, ids, now).await?;
                let (chat, character, parent) = (plan.chat.clone(), plan.character.clone(), plan.greeting.clone());
                let message = Some((MessageRole::User, content));
                return Ok(Target { chat, character, parent, plan: Some(plan), message, is_answered: true });
            }
            Addition::Below { chat_id, parent_id, content } => {
                let chat = storage::chats::lock(transaction, viewer.user_id, chat_id).await?.ok_or(Error::NotFound)?;
                let parent = match parent_id.or(chat.leaf_id) {
                    Some(id) => Some(find_in(transaction, &chat, id).await?.ok_or(Error::NotFound)?),
                    None => None,
                };
                parent.iter().try_for_each(check_parent)?;
                (chat, parent, Some((MessageRole::User, content)), true)
            }
            Addition::Version { content, .. } => {
                let subject = subject.ok_or(Error::NotFound)?;
                let is_answered = subject.is_of_user();
                let Subject { chat, message } = subject;
                let parent = match message.parent_id {
                    Some(id) => Some(find_in(transaction, &chat, id).await?.ok_or(Error::NotFound)?),
                    None => None,
                };
                (chat, parent, Some((message.role, content)), is_answered)
            }
            Addition::Reply { .. } => {
                let subject = subject.ok_or(Error::NotFound)?;
                let question = subject.question_id();
                let Subject { chat, message } = subject;
                let parent = match question {
                    Some(id) if id == message.id => message,
                    Some(id) => find_in(transaction, &chat, id).await?.ok_or(Error::NotFound)?,
                    None => {
                        let why = "A greeting answers no message.";
                        return Err(Error::invalid("messageId", FieldErrorCode::NotAllowed, why));
                    }
                };
                (chat, Some(parent), None, true)
            }
        };
        let character = match chat.character_id.filter(|_| is_answered) {
            Some(id) => storage::characters::find_any(transaction, id).await?,
            None => None,
        };
        Ok(Target { chat, character, parent, plan: None, message, is_answered })
    }
}

/// A message of this chat.
async fn find_in(db: &impl ConnectionTrait, chat: &chat::Model, id: MessageId) -> Result<Option<message::Model>> {
    let message = storage::messages::find_any(db, id).await?;
    Ok(message.filter(|message| message.chat_id == chat.id))
}

/// Checks that a user's message can follow `parent`.
fn check_parent(parent: &message::Model) -> Result<()> {
    if parent.role == MessageRole::User {
        let why = "A message of the user cannot follow another one. Use `regenerateReply` to get a reply to it.";
        return Err(Error::invalid("parentId", FieldErrorCode::NotAllowed, why));
    }
    if parent.status == MessageStatus::Streaming {
        return Err(Error::Conflict { message: "The reply above is still streaming.", fields: Vec::new() });
    }
    Ok(())
}

/// The current state of the objects that the first call with an idempotency key created.
async fn started_before(db: &impl ConnectionTrait, viewer: &Viewer, first: Answer) -> Result<Started> {
    let ids: Vec<MessageId> = first.message_id.into_iter().chain(first.reply_id).collect();
    let messages = storage::messages::find_all(db, Readable::Of(viewer.user_id), &ids).await?;
    let find = |id: Option<MessageId>| messages.iter().find(|message| Some(message.id) == id).cloned();
    let chat = storage::chats::find(db, viewer.user_id, first.chat_id).await?;
    let (chat, message) = chat.zip(find(first.message_id)).ok_or(Error::NotFound)?;
    let reply = find(first.reply_id);
    if reply.is_none() && first.reply_id.is_some() {
        return Err(Error::NotFound);
    }
    Ok(Started { chat, message, reply })
}
