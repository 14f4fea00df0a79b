//! The integration tests: one binary, one file a subject.

mod edge;
mod migrations;
mod support;
