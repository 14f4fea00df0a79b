//! The rules: who may, what happens, in what order.

pub mod accounts;
pub mod error;
pub mod input;
pub mod viewer;

pub use error::{Error, FieldError, FieldErrorCode, Result};
pub use viewer::{Client, Requester, Viewer};
