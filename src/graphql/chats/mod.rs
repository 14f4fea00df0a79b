//! Chats and their messages.

mod chat;
mod context;
mod events;
mod message;
mod message_mutations;
mod mutations;
mod parts;
mod search;

pub use chat::{Chat, ChatFilter, ChatQueries, page};
pub use context::{ContextQueries, ContextUsage};
pub use events::{ChatEvent, ChatSubscriptions, EventsStarted};
pub use message::Message;
pub use message_mutations::MessageMutations;
pub use mutations::{ChatMutations, CreateChatInput};
pub use parts::{MessagePart, ReasoningPart, TextPart, ToolCall};
pub use search::{MessageSearchHit, SearchQueries};
