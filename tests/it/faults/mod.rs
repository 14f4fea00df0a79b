//! Faults of the disk, the database and the network: no acknowledged write is lost, every reply ends, every reader
//! receives the end of its reply, and the server recovers without a restart.

mod full_disk;
mod outages;
mod soak;
