//! Direct messages between users.

mod conversation;
mod events;
mod loaders;
mod message;
mod mutations;

pub use conversation::{Conversation, ConversationQueries};
pub use events::DirectMessageSubscriptions;
pub use loaders::BlockOf;
pub use message::DirectMessage;
pub use mutations::DirectMessageMutations;
