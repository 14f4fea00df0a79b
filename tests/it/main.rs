//! The integration tests: one binary, one file a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod commands;
mod crashes;
mod edge;
mod layers;
mod lockout;
mod migrations;
mod protection;
mod replies;
mod schema;
mod support;
