//! The test kit.

pub(crate) mod database;
