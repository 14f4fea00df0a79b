//! The rules: who may, what happens, in what order.

pub mod accounts;
pub mod audit;
pub mod branches;
pub mod characters;
pub mod chats;
pub mod error;
pub mod idempotency;
pub mod input;
pub mod replies;
mod tree;
pub mod viewer;

pub use error::{Error, FieldError, FieldErrorCode, Result};
pub use viewer::{Client, Requester, Viewer};
