//! The application logic: permissions, validation, and the use cases.

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
