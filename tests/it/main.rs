//! The integration tests: one binary, one file a subject.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod edge;
mod accounts;
mod commands;
mod layers;
mod migrations;
mod support;
