//! Chats and their messages.

mod chat;
mod events;
mod message;
mod mutations;
mod parts;

pub use chat::{Chat, ChatFilter, ChatQueries, page};
pub use events::{ChatEvent, ChatSubscriptions, EventsStarted};
pub use message::Message;
pub use mutations::{ChatMutations, CreateChatInput};
pub use parts::{MessagePart, ReasoningPart, TextPart, ToolCall};
