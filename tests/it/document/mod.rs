//! The layer around async-graphql, against graphql-js and against documents that mean harm.

mod differential;
mod exact;
mod fuzz;
mod hostile;
mod limits;
mod toy;

pub(crate) use limits::Through;
