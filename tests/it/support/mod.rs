//! Shared code of the tests: servers, clients, databases, and faults.

pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod command;
pub(crate) mod conforming;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod kit;
pub(crate) mod npm;
pub(crate) mod provider;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod staff;
pub(crate) mod trees;
