//! Starting a reply: the one transaction in which every mutation that starts a reply checks its input against the
//! database, inserts the rows, registers the log and stores the idempotency key. A separate task then writes the reply.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::Engine;
use super::write::Job;
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
    /// The first message of a new chat, and a reply.
    First { new_chat: NewChat, content: String },
    /// A message below another one (if none, below the last message of the active branch), and a reply.
    Below { chat_id: ChatId, parent_id: Option<MessageId>, content: String },
}

/// The result of a call.
#[derive(Debug, Clone)]
pub struct Started {
    /// The chat.
    pub chat: chat::Model,
    /// The user's message.
    pub message: message::Model,
    /// The reply to it, which is now being written.
    pub reply: message::Model,
}

/// The chat to which messages are added, and the message below which they are added.
struct Target {
    chat: chat::Model,
    character: Option<character::Model>,
    parent: Option<message::Model>,
    /// For a new chat, the rows that must be inserted first.
    plan: Option<NewChatPlan>,
}

impl super::Replies {
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
        let chat_id = match &addition {
            Addition::First { .. } => ChatId(engine.ids.next(now)),
            Addition::Below { chat_id, .. } => *chat_id,
        };

        let transaction = engine.database.begin().await?;
        let idempotency_key = key.as_ref().map(|key| key.key.clone());
        if let Some(key) = key {
            let answer = Answer { chat_id, message_id: Some(message_id), reply_id: Some(reply_id) };
            if let Some(first) = idempotency::take(&transaction, key, answer, now).await? {
                return started_before(&transaction, viewer, first).await;
            }
        }
        let target = engine.target(&transaction, viewer, &addition, chat_id, now).await?;
        let Target { mut chat, character, parent, plan } = target;
        let model = chats::available_model(&engine.models, model_id.as_deref().unwrap_or(&chat.model_id), "modelId")?;
        let registration = engine.running.register(reply_id, chat.id, viewer.user_id)?;

        let (Addition::First { content, .. } | Addition::Below { content, .. }) = &addition;
        let message = message::Model {
            idempotency_key,
            ..chats::message(message_id, chat.id, MessageRole::User, content, parent.as_ref(), now)
        };
        let reply = message::Model {
            status: MessageStatus::Streaming,
            boot_id: Some(engine.boot),
            model_id: Some(model.id.clone()),
            branch_tokens: message.branch_tokens,
            completed_at: None,
            ..chats::message(reply_id, chat.id, MessageRole::Assistant, "", Some(&message), now)
        };
        let chat_event = match &plan {
            Some(_) => Some(Event::ChatAdded(chat.id)),
            // Messages at the end of the active branch do not change which branch is active.
            None if parent.as_ref().map(|parent| parent.id) == chat.leaf_id => None,
            None => Some(Event::ChatChanged(chat.id)),
        };
        let input_tokens = reply.branch_tokens;
        if let Some(plan) = plan {
            plan.write(&transaction).await?;
        }
        let mut rows = [message, reply];
        tree::append(&transaction, &mut chat, parent.as_ref(), &mut rows).await?;
        chat.active_at = now;
        storage::chats::update(&transaction, chat.clone()).await?;
        let chain = engine.models.chain(&model.id);
        let instructions = character.as_ref().map_or(0, |character| message_tokens(&character.system_prompt));
        let start = quotas::Start {
            reply: reply_id,
            user: viewer.user_id,
            chain: &chain,
            input_tokens: input_tokens.saturating_add(instructions),
            max_output_tokens: character
                .as_ref()
                .and_then(|character| character.max_output_tokens)
                .and_then(|most| u32::try_from(most).ok()),
            now,
        };
        quotas::reserve(&transaction, start).await?;
        transaction.commit().await?;
        let added = rows.iter().map(|row| Event::MessageAdded(chat.id, row.id));
        engine.bus.publish(viewer.user_id, &chat_event.into_iter().chain(added).collect::<Vec<_>>());

        let [message, reply] = rows;
        let (row, question) = (reply.clone(), message.clone());
        engine.spawn(Job { registration, reply: row, question, chat: chat.clone(), character, chain });
        Ok(Started { chat, message, reply })
    }
}

impl Engine {
    /// Finds the chat and the parent of the new messages. The chat is locked until the transaction ends.
    async fn target(
        &self,
        transaction: &impl ConnectionTrait,
        viewer: &Viewer,
        addition: &Addition,
        chat_id: ChatId,
        now: DateTime<Utc>,
    ) -> Result<Target> {
        let (chat, parent) = match addition {
            Addition::First { new_chat, .. } => {
                let (models, ids) = (&self.models, &self.ids);
                let plan =
                    NewChatPlan::make(transaction, viewer, new_chat, "newChat.", chat_id, models, ids, now).await?;
                let (chat, character, parent) = (plan.chat.clone(), plan.character.clone(), plan.greeting.clone());
                return Ok(Target { chat, character, parent, plan: Some(plan) });
            }
            Addition::Below { chat_id, parent_id, .. } => {
                let chat = storage::chats::lock(transaction, viewer.user_id, *chat_id).await?.ok_or(Error::NotFound)?;
                let parent = match parent_id.or(chat.leaf_id) {
                    Some(id) => Some(find_in(transaction, &chat, id).await?.ok_or(Error::NotFound)?),
                    None => None,
                };
                parent.iter().try_for_each(check_parent)?;
                (chat, parent)
            }
        };
        let character = match chat.character_id {
            Some(id) => storage::characters::find_any(transaction, id).await?,
            None => None,
        };
        Ok(Target { chat, character, parent, plan: None })
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
    match (chat, find(first.message_id), find(first.reply_id)) {
        (Some(chat), Some(message), Some(reply)) => Ok(Started { chat, message, reply }),
        _ => Err(Error::NotFound),
    }
}
