//! Tests of `http` with a small test schema and real connections.

mod connections;
mod hostile_clients;
mod http;
mod http_limits;
mod log;
mod operations;
mod persisted;
mod playground;
mod protection;
mod stock_handlers;
mod support;
mod tls;
mod websocket;
