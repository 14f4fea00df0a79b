//! Sending a message and starting the reply to it.

use super::Replies;
use super::start::{Addition, Call, Started};
use crate::domain::idempotency::{self, Key};
use crate::domain::input::{Checks, Lines};
use crate::domain::{FieldErrorCode, Result, Viewer};
use crate::entity::ids::{ChatId, MessageId};

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
    /// The parent: a message of the assistant. If none, the last message of the active branch.
    pub parent_id: Option<MessageId>,
    /// The model of this reply. If none, the chat's model.
    pub model_id: Option<String>,
    /// The idempotency key. A repeated call with the same key returns the same result.
    pub idempotency_key: Option<String>,
}

impl Replies {
    /// Sends a message and starts the reply to it.
    ///
    /// # Errors
    /// As [`Replies::start`]. [`crate::domain::Error::Invalid`] if the parent is a message of the user.
    pub async fn send(&self, viewer: &Viewer, input: SendMessage) -> Result<Started> {
        self.check(&input)?;
        let key = key(viewer, &input);
        let SendMessage { chat_id, new_chat, content, parent_id, model_id, .. } = input;
        let addition = match (chat_id, new_chat) {
            (Some(chat_id), _) => Addition::Below { chat_id, parent_id, content },
            (None, new_chat) => Addition::First { new_chat: new_chat.unwrap_or_default(), content },
        };
        self.start(viewer, Call { addition, model_id, key }).await
    }

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
        checks.text("content", &input.content, 1..=self.0.max_message_length, Lines::Many);
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()
    }
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
