//! The layer around async-graphql that makes it exact and bounded.
//!
//! async-graphql 7.2 alone is not what clients rely on: it runs fields of one response key in two fragments twice and merges
//! them badly, leaves an errored field out instead of making it null, lets no null propagate, and gives an omitted variable
//! as null; its parser and its checks can be kept busy for seconds by a kilobyte. So a document goes through this layer:
//!
//! ```text
//! text ── lexer, parser ── validate, overlap ──▶ Document   once a text, cached by its hash
//!      ── merge (its fragments, its @skip and @include) ──▶ Plan   once for the values of its switches, cached
//!      ── variables, build ──▶ what async-graphql validates and executes
//!      ── complete ──▶ the response
//! ```
//!
//! Every step is linear in its input, or counts its steps; [`Limits`] names the bounds.

mod build;
mod cache;
mod complete;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
mod document;
mod errors;
mod exact;
mod lexer;
mod limits;
mod merge;
mod overlap;
mod parser;
mod persisted;
mod scopes;
mod types;
mod validate;
mod values;
mod variables;

pub use cache::Documents;
pub use document::{Document, Operation};
pub use exact::Exact;
pub use limits::Limits;
pub use persisted::names_document;
pub use types::{Lists, SchemaError};
