//! The integration tests: one binary, one file a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod administration;
mod commands;
mod crashes;
mod edge;
mod idempotency;
mod layers;
mod limits;
mod migrations;
mod permissions;
mod reading;
mod replies;
mod schema;
mod sessions;
mod stopping;
mod support;
