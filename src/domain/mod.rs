//! The application logic: permissions, validation, and the use cases.

pub mod accounts;
pub mod audit;
pub mod characters;
pub mod chats;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod replies;
pub mod viewer;

pub use chats::{ChatAccess, branches};
pub use error::{Error, FieldError, FieldErrorCode, Result};
pub use viewer::{Client, Credential, Requester, Viewer};
