//! The tests that talk to a running server.

mod edge;
