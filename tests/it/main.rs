//! The tests that talk to a running server.

// Always true here; it tells clippy that helpers may unwrap, too.
#[cfg(test)]
mod edge;
