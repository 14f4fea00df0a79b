//! The HTTP server: GraphQL over HTTP and WebSocket, the playground, health checks, request ids and the request log.
//!
//! Implements GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>, audited by npm `graphql-http`)
//! and the `graphql-transport-ws` protocol (`PROTOCOL.md` of npm `graphql-ws`).

mod answer;
mod bounded_stream;
mod client;
mod client_ip;
mod concurrency;
mod connections;
mod cost;
mod deadlines;
mod draining;
mod edge;
mod graphql;
mod health;
mod host;
mod limits;
mod media;
mod metrics;
mod operation;
mod origins;
mod parameters;
mod playground;
mod rate_limit;
mod rate_limit_key;
mod request_log;
mod router;
mod security_headers;
mod server;
mod slots;
mod tls;
mod traces;
mod websocket;

pub use connections::Connections;
pub use edge::{Authenticate, Edge, Ready};
pub use health::ask_ready;
pub use limits::Limits;
pub use metrics::{Measure, Scrape};
pub use playground::has_pages;
pub use router::router;
pub use server::serve;
pub use tls::{Tls, TlsError};
