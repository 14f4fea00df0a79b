//! Sending a message: one transaction inserts the rows, registers the log and stores the idempotency key. A separate
//! task then writes the reply.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::write::Job;
use super::{Engine, Replies};
use crate::domain::chats::tree::{self, TreePosition};
use crate::domain::chats::{self, NewChatPlan};
use crate::domain::idempotency::{self, Answer, Key};
use crate::domain::input::{Checks, Lines};
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::{MessageRole, MessageStatus};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::{character, chat, message};
use crate::llm::registry::Model;
use crate::storage;
use crate::storage::chats::Readable;

pub use crate::domain::chats::NewChat;

/// The input for sending a message. Exactly one of `chat_id` and `new_chat` is given.
#[derive(Debug, Clone, Default)]
pub struct SendMessage {
    /// The chat to send to.
    pub chat_id: Option<ChatId>,
    /// The chat to create.
    pub new_chat: Option<NewChat>,
    /// The text.
    pub content: String,
    /// The message to follow. If none, the last message of the active branch.
    pub parent_id: Option<MessageId>,
    /// The model of this reply. If none, the chat's model.
    pub model_id: Option<String>,
    /// The idempotency key. A repeated call with the same key returns the same result.
    pub idempotency_key: Option<String>,
}

/// The result of sending a message.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The chat.
    pub chat: chat::Model,
    /// The user's message.
    pub message: message::Model,
    /// The assistant's message, which is now being written.
    pub reply: message::Model,
}

/// The chat and the parent of a new message.
struct Target {
    chat: chat::Model,
    character: Option<character::Model>,
    parent: Option<message::Model>,
    /// For a new chat, the rows that must be inserted first.
    plan: Option<NewChatPlan>,
}

impl Replies {
    /// Sends a message and begins the reply to it.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for a chat, parent or character that is not visible to the viewer;
    /// [`Error::Conflict`] while a reply is streaming in the chat, or if the idempotency key was used with other input;
    /// [`Error::RateLimited`] and [`Error::Unavailable`] when too many replies are running; [`Error::Unavailable`]
    /// while this node does not hold its lease.
    pub async fn send(&self, viewer: &Viewer, input: SendMessage) -> Result<Sent> {
        let engine = &self.0;
        engine.check(&input)?;
        if !engine.journal.is_lease_held() {
            return Err(Error::Unavailable {
                message: "The server has lost its connection to the database. Try again.",
                retry_after: Some(std::time::Duration::from_secs(5)),
            });
        }
        let now = engine.clock.now();
        let [message_id, reply_id] = [(); 2].map(|()| MessageId(engine.ids.next(now)));
        let chat_id = input.chat_id.unwrap_or_else(|| ChatId(engine.ids.next(now)));

        let transaction = engine.database.begin().await?;
        if let Some(key) = key(viewer, &input) {
            let answer = Answer { chat_id, message_id: Some(message_id), reply_id: Some(reply_id) };
            if let Some(first) = idempotency::take(&transaction, key, answer, now).await? {
                return engine.sent_before(&transaction, viewer, first).await;
            }
        }
        let Target { mut chat, character, parent, plan } =
            engine.target(&transaction, viewer, &input, chat_id, now).await?;
        let model = engine.model(&input, &chat)?;
        let registration = engine.running.register(reply_id, chat.id, viewer.user_id)?;

        let mut message = message::Model {
            idempotency_key: input.idempotency_key.clone(),
            ..chats::message(message_id, chat.id, MessageRole::User, &input.content, parent.as_ref(), now)
        };
        set_position(
            &mut message,
            match &parent {
                Some(parent) => tree::below(&transaction, parent).await?,
                None => tree::root(message_id),
            },
        );
        message.is_leaf = false;
        if let Some(plan) = plan {
            plan.write(&transaction).await?;
        }
        if let Some(parent) = &parent {
            storage::messages::mark_followed(&transaction, parent.id).await?;
        }
        storage::messages::insert(&transaction, std::slice::from_ref(&message)).await?;
        let mut reply = message::Model {
            status: MessageStatus::Streaming,
            boot_id: Some(engine.boot),
            model_id: Some(model.id.clone()),
            branch_tokens: message.branch_tokens,
            completed_at: None,
            ..chats::message(reply_id, chat.id, MessageRole::Assistant, "", Some(&message), now)
        };
        set_position(&mut reply, tree::below(&transaction, &message).await?);
        storage::messages::insert(&transaction, std::slice::from_ref(&reply)).await?;
        chat.leaf_id = Some(reply_id);
        chat.message_count += 2;
        chat.active_at = now;
        storage::chats::update(&transaction, chat.clone()).await?;
        transaction.commit().await?;

        let chain = engine.models.chain(&model.id);
        engine.spawn(Job { registration, reply: reply.clone(), question: message.clone(), character, chain });
        Ok(Sent { chat, message, reply })
    }
}

impl Engine {
    fn check(&self, input: &SendMessage) -> Result<()> {
        let mut checks = Checks::default();
        match (&input.chat_id, &input.new_chat) {
            (None, None) => {
                checks.fail("chatId", FieldErrorCode::Required, "Either `chatId` or `newChat` is required.")
            }
            (Some(_), Some(_)) => {
                checks.fail("newChat", FieldErrorCode::NotAllowed, "Cannot be combined with `chatId`.");
            }
            (None, Some(new_chat)) => {
                new_chat.check(&mut checks, "newChat.");
                if new_chat.idempotency_key.is_some() {
                    let why = "Use the idempotency key of the message instead.";
                    checks.fail("newChat.idempotencyKey", FieldErrorCode::NotAllowed, why);
                }
                if input.parent_id.is_some() {
                    checks.fail("parentId", FieldErrorCode::NotAllowed, "Cannot be combined with `newChat`.");
                }
            }
            (Some(_), None) => {}
        }
        checks.text("content", &input.content, 1..=self.max_message_length, Lines::Many);
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()
    }

    async fn target(
        &self,
        transaction: &impl ConnectionTrait,
        viewer: &Viewer,
        input: &SendMessage,
        chat_id: ChatId,
        now: DateTime<Utc>,
    ) -> Result<Target> {
        if let Some(new_chat) = &input.new_chat {
            let plan =
                NewChatPlan::make(transaction, viewer, new_chat, "newChat.", chat_id, &self.models, &self.ids, now)
                    .await?;
            let (chat, character, parent) = (plan.chat.clone(), plan.character.clone(), plan.greeting.clone());
            return Ok(Target { chat, character, parent, plan: Some(plan) });
        }
        let chat = storage::chats::lock(transaction, viewer.user_id, chat_id).await?.ok_or(Error::NotFound)?;
        let parent = match input.parent_id.or(chat.leaf_id) {
            Some(id) => storage::messages::find_any(transaction, id).await?.filter(|parent| parent.chat_id == chat.id),
            None => None,
        };
        if input.parent_id.is_some() && parent.is_none() {
            return Err(Error::NotFound);
        }
        if storage::messages::is_streaming_in(transaction, chat.id).await? {
            return Err(Error::Conflict { message: "A reply is still streaming in this chat.", fields: Vec::new() });
        }
        let character = match chat.character_id {
            Some(id) => storage::characters::find_any(transaction, id).await?,
            None => None,
        };
        Ok(Target { chat, character, parent, plan: None })
    }

    fn model(&self, input: &SendMessage, chat: &chat::Model) -> Result<std::sync::Arc<Model>> {
        chats::available_model(&self.models, input.model_id.as_deref().unwrap_or(&chat.model_id), "modelId")
    }

    /// The current state of the objects that the first call with an idempotency key created.
    async fn sent_before(&self, transaction: &impl ConnectionTrait, viewer: &Viewer, first: Answer) -> Result<Sent> {
        let ids: Vec<MessageId> = first.message_id.into_iter().chain(first.reply_id).collect();
        let messages = storage::messages::find_all(transaction, Readable::Of(viewer.user_id), &ids).await?;
        let find = |id: Option<MessageId>| messages.iter().find(|message| Some(message.id) == id).cloned();
        let chat = storage::chats::find(transaction, viewer.user_id, first.chat_id).await?;
        match (chat, find(first.message_id), find(first.reply_id)) {
            (Some(chat), Some(message), Some(reply)) => Ok(Sent { chat, message, reply }),
            _ => Err(Error::NotFound),
        }
    }
}

fn set_position(message: &mut message::Model, position: TreePosition) {
    message.parent_id = position.parent_id;
    message.depth = position.depth;
    message.jump_id = position.jump.id;
    message.jump_depth = position.jump.depth;
}

fn key(viewer: &Viewer, input: &SendMessage) -> Option<Key> {
    let key = input.idempotency_key.clone()?;
    let (chat, parent) = (input.chat_id.map(|id| id.to_string()), input.parent_id.map(|id| id.to_string()));
    let new_chat = input.new_chat.as_ref();
    let character = new_chat.and_then(|chat| chat.character_id).map(|id| id.to_string());
    let input_hash = idempotency::fingerprint(&[
        chat.as_deref(),
        parent.as_deref(),
        Some(&input.content),
        input.model_id.as_deref(),
        new_chat.map(|_| "new"),
        character.as_deref(),
        new_chat.and_then(|chat| chat.title.as_deref()),
        new_chat.and_then(|chat| chat.model_id.as_deref()),
    ]);
    Some(Key { user_id: viewer.user_id, field: "sendMessage", key, input_hash })
}
