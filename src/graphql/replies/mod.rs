//! Sending messages, and streaming the replies to them.

mod events;
mod mutations;
mod subscription;

pub use events::ReplyEvent;
pub use mutations::ReplyMutations;
pub use subscription::ReplySubscriptions;
