//! The integration tests: one binary, one file a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod commands;
mod document;
mod edge;
mod layers;
mod migrations;
mod schema;
mod support;
