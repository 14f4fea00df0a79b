//! Sending messages, and streaming the replies to them.

mod error;
mod events;
mod mutations;
mod planned;
mod subscription;

pub use error::ReplyError;
pub use events::ReplyEvent;
pub use mutations::ReplyMutations;
pub use planned::{PlannedReply, can_plan};
pub use subscription::ReplySubscriptions;
