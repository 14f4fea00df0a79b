//! Rows, ids and enums: plain data that knows nobody.

pub mod enums;
pub mod ids;
