//! Sending messages, and streaming the replies to them.

mod events;
mod mutations;
mod planned;
mod subscription;

pub use events::ReplyEvent;
pub use mutations::ReplyMutations;
pub use planned::{PlannedReply, can_plan};
pub use subscription::ReplySubscriptions;
