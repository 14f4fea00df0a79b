//! Generating another reply.

use super::Replies;
use super::start::{Addition, Call, Started};
use crate::domain::idempotency::{self, Key};
use crate::domain::input::Checks;
use crate::domain::{Result, Viewer};
use crate::entity::ids::MessageId;

/// The input for generating another reply.
#[derive(Debug, Clone)]
pub struct RegenerateReply {
    /// The reply that gets a sibling, or the message of the user to be answered.
    pub message_id: MessageId,
    /// The model of the new reply. If none, the chat's model.
    pub model_id: Option<String>,
    /// The idempotency key. A repeated call with the same key returns the same result.
    pub idempotency_key: Option<String>,
}

impl Replies {
    /// Starts another reply: a sibling of a reply, or a reply to a message of the user.
    ///
    /// # Errors
    /// As [`Replies::start`]. [`crate::domain::Error::Invalid`] for a greeting.
    pub async fn regenerate(&self, viewer: &Viewer, input: RegenerateReply) -> Result<Started> {
        let mut checks = Checks::default();
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()?;
        let RegenerateReply { message_id, model_id, idempotency_key } = input;
        let key = idempotency_key.map(|key| {
            let input_hash = idempotency::fingerprint(&[Some(&message_id.to_string()), model_id.as_deref()]);
            Key { user_id: viewer.user_id, field: "regenerateReply", key, input_hash }
        });
        self.start(viewer, Call { addition: Addition::Reply { of: message_id }, model_id, key }).await
    }
}
