//! Chats and their messages.

mod chat;
mod message;
mod mutations;
mod parts;
mod queries;

pub use chat::{Chat, ChatFilter, page};
pub use message::Message;
pub use mutations::{ChatMutations, CreateChatInput, change};
pub use parts::{MessagePart, ReasoningPart, TextPart, ToolCall};
pub use queries::ChatQueries;
