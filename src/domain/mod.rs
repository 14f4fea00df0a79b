//! The application logic: permissions, validation, and the use cases.

pub mod accounts;
pub mod audit;
pub mod characters;
pub mod chats;
pub mod completions;
pub mod context;
mod delivery;
pub mod direct_messages;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod macros;
pub mod prompts;
pub mod replies;
pub mod search;
pub mod tags;
pub mod tokens;
mod transcript;
pub mod usage;
pub mod viewer;

pub use chats::{ChatAccess, branches};
pub use context::{ContextQuery, ContextUsage, Preview};
pub use error::{Error, FieldError, FieldErrorCode, Result};
pub use viewer::{Client, Credential, Requester, Viewer};

// Types of lower layers that the layers above use, under the names of the domain.
pub use crate::llm::registry::{Model, Registry};
pub use crate::storage::audit::{AuditCursor, Filter as AuditFilter};
pub use crate::storage::characters::CharacterCursor;
pub use crate::storage::chats::{ChatCursor, Filter as ChatFilter};
pub use crate::storage::page::{Page, Window};
pub use crate::storage::prompts::PromptCursor;
pub use crate::storage::users::{Filter as UserFilter, UserCursor};
