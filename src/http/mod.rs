//! The protocol edge: GraphQL over HTTP and over WebSocket, the playground, health, request ids and the request log.
//!
//! The rules are those of the GraphQL-over-HTTP specification (<https://graphql.github.io/graphql-over-http/draft/>, with the
//! audits of npm `graphql-http`) and of the `graphql-transport-ws` protocol (`PROTOCOL.md` of npm `graphql-ws`).

mod answer;
mod bounded_stream;
mod client_ip;
mod connections;
mod cost;
mod deadlines;
mod edge;
mod graphql;
mod health;
mod holder;
mod host;
mod media;
mod operation;
mod origins;
mod parameters;
mod playground;
mod rate_limit;
mod request_log;
mod router;
mod security_headers;
mod server;
mod tls;
mod turns;
mod websocket;

pub use connections::Connections;
pub use edge::{Authenticate, Edge, Limits, Ready};
pub use router::router;
pub use server::serve;
pub use tls::{Tls, TlsError};
