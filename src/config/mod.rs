//! Settings, by section, each with its validation.

pub mod models;
