//! The GraphQL layer. A resolver parses its input, makes one domain call and wraps the result.

pub mod accounts;
pub mod admin;
mod as_viewer;
pub mod budget;
mod changes;
pub mod characters;
pub mod chats;
pub mod context;
mod direct_messages;
pub mod document;
pub mod error;
pub mod execution;
mod ids;
mod lists;
pub mod loaders;
pub mod loads;
mod lookups;
mod node;
mod pagination;
pub mod prompts;
pub mod replies;
pub mod request_id;
mod require_write;
mod scalars;
pub mod schema;
pub mod server;
pub mod usage;

pub use lists::LISTS;
pub use request_id::RequestId;
