//! Tests of `graphql::document`, the layer around async-graphql: conformance, limits and hostile documents.

mod differential;
mod exact;
mod fuzz;
mod hostile;
mod introspection;
mod limits;
mod toy;

pub(crate) use limits::Through;
