//! Faults of the disk, the database and the network between: nothing acknowledged is lost, no reply is stuck, every reader gets
//! its end, and the server recovers by itself.

mod full_disk;
mod outages;
mod soak;
