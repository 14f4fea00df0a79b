//! duologue: an AI-chat backend behind one GraphQL schema.
//!
//! Imports only point downwards in this list; `tests/it/layers.rs` checks every `crate::` path:
//!
//! ```text
//! main.rs → app.rs                   may import everything
//!   http/                            router, GraphQL over HTTP, WebSocket, playground, health
//!     graphql/ jobs                  types and resolvers: parse → one domain call → wrap; periodic jobs
//!       domain/                      rules: permissions, effects, order
//!         storage/ llm/ events/      access to the outside; independent of each other
//!           entity/                  rows, ids, enums: plain data
//! config/, clock, lifecycle, metrics, traces on the same level as entity/
//! ```

pub mod app;
pub mod clock;
pub mod config;
pub mod domain;
pub mod entity;
pub mod events;
pub mod graphql;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod llm;
pub mod metrics;
pub mod storage;
pub mod traces;
