//! The GraphQL face of the domain: types and resolvers that parse, make one domain call, and wrap.

pub mod error;
pub mod request_id;

pub use request_id::RequestId;
