//! The protocol edge over a toy schema, by real connections.

mod http;
mod limits;
mod log;
mod operations;
mod support;
mod websocket;
