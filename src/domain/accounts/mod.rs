//! Accounts
pub mod passwords;
pub mod tokens;
