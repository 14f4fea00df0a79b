//! The rules: who may, what happens, in what order.

pub mod accounts;
pub mod audit;
pub mod branches;
pub mod characters;
pub mod chat_access;
pub mod chats;
mod chats_of_others;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod replies;
mod tree;
pub mod viewer;

pub use chat_access::ChatAccess;
pub use error::{Error, FieldError, FieldErrorCode, Result};
pub use viewer::{Client, Credential, Requester, Viewer};

// What the layers above need of the layers below, under the names of the domain.
pub use crate::llm::registry::{Model, Registry};
pub use crate::storage::audit::{Filter as AuditFilter, Place as AuditCursor};
pub use crate::storage::characters::{Filter as CharacterFilter, Place as CharacterCursor};
pub use crate::storage::chats::{Filter as ChatFilter, Place as ChatCursor};
pub use crate::storage::directory::{Filter as UserFilter, Place as UserCursor};
pub use crate::storage::page::{Page, Window};
