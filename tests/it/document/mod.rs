//! Tests of `graphql::document`, the layer around async-graphql: conformance, limits and hostile documents.

mod differential;
mod document_limits;
mod exact;
mod fuzz;
mod hostile_documents;
mod introspection;
mod toy;

pub(crate) use document_limits::Through;
