//! The integration tests: one binary, one file a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod administration;
mod bad_input;
mod branches;
mod budget;
mod chats;
mod commands;
mod crashes;
mod document;
mod edge;
mod forged_tokens;
mod graphql_cop;
mod hostile_load;
mod idempotency;
mod layers;
mod limits;
mod lockout;
mod migrations;
mod nodes;
mod permissions;
mod personal_access_tokens;
mod plans;
mod protection;
mod reading;
mod replies;
mod schema;
mod self_service;
mod sessions;
mod stopping;
mod storage;
mod support;
mod two_servers;
