//! duologue: an AI-chat backend behind one GraphQL schema.
//!
//! The tree states the flow. An import only ever points down these floors; `tests/it/layers.rs` holds every `crate::` path
//! against them:
//!
//! ```text
//! main.rs → app.rs                   the only two that see everything
//!   http/                            router, GraphQL over HTTP, WebSocket, playground, health
//!     graphql/ jobs                  types and resolvers: parse → one domain call → wrap; periodic work
//!       domain/                      rules: who may, what happens, in what order
//!         storage/ llm/ events/      the ways out of the process; they do not know each other
//!           entity/                  rows, ids, enums: plain data
//! config/, clock, lifecycle          stand beside entity/
//! ```

pub mod app;
pub mod clock;
pub mod config;
pub mod domain;
pub mod entity;
pub mod graphql;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod llm;
pub mod storage;
