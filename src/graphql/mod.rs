//! The GraphQL face of the domain: types and resolvers that parse, make one domain call, and wrap.

pub mod accounts;
pub mod admin;
mod as_viewer;
pub mod budget;
pub mod characters;
pub mod chats;
pub mod context;
pub mod document;
pub mod error;
mod for_writers;
mod ids;
mod lists;
pub mod loaders;
mod node;
mod pagination;
pub mod replies;
pub mod request_id;
mod scalars;
pub mod schema;
pub mod server;

pub use lists::LISTS;
pub use request_id::RequestId;
