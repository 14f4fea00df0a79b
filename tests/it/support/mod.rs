//! The test kit.

pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod provider;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod staff;
