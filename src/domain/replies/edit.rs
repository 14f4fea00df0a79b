//! Editing a message: a new sibling with other content.

use super::Replies;
use super::start::{Addition, Call, Started};
use crate::domain::idempotency::{self, Key};
use crate::domain::input::{Checks, Lines};
use crate::domain::{Result, Viewer};
use crate::entity::ids::MessageId;

/// The input for editing a message.
#[derive(Debug, Clone)]
pub struct EditMessage {
    /// The message. It is not changed.
    pub message_id: MessageId,
    /// The text of the new message.
    pub content: String,
    /// The model of the reply to a message of the user. If none, the chat's model.
    pub model_id: Option<String>,
    /// The idempotency key. A repeated call with the same key returns the same result.
    pub idempotency_key: Option<String>,
}

impl Replies {
    /// Adds a sibling of a message with other content. If it is a message of the user, the reply to it starts.
    ///
    /// # Errors
    /// As [`Replies::start`].
    pub async fn edit(&self, viewer: &Viewer, input: EditMessage) -> Result<Started> {
        let mut checks = Checks::default();
        checks.text("content", &input.content, 1..=self.0.max_message_length, Lines::Many);
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()?;
        let EditMessage { message_id, content, model_id, idempotency_key } = input;
        let key = idempotency_key.map(|key| {
            let id = message_id.to_string();
            let input_hash = idempotency::fingerprint(&[Some(&id), Some(&content), model_id.as_deref()]);
            Key { user_id: viewer.user_id, field: "editMessage", key, input_hash }
        });
        self.start(viewer, Call { addition: Addition::Version { of: message_id, content }, model_id, key }).await
    }
}
