//! Makes the execution of async-graphql conform to the specification, and limits its cost.
//!
//! async-graphql 7.2 alone deviates from the specification: it resolves fields with the same response key in two
//! fragments twice and merges the results incorrectly, omits the key of a failed field, does not propagate null, and
//! passes an omitted variable as null. A document of one kilobyte can occupy its parser and validation for seconds.
//! Therefore a request passes these steps:
//!
//! ```text
//! text ── lexer, parser ── validate, overlap ──▶ Document   once per text, cached by its hash
//!      ── plan (CollectFields, MergeSelectionSets) ──▶ Plan   once per set of @skip and @include values, cached
//!      ── variables, build ──▶ the document that async-graphql executes
//!      ── complete ──▶ the response
//! ```
//!
//! The validation of async-graphql itself is off (`ValidationMode::Fast`): on every request, it would check again what
//! `validate`, `variables` and `build` have checked.
//!
//! The time of each step is linear in its input, or its number of steps is limited. [`Limits`] lists the limits.

mod build;
mod cache;
mod complete;
#[expect(clippy::module_inception, reason = "the module defines the type `Document`")]
mod document;
mod errors;
mod executor;
mod introspection;
mod lexer;
mod limits;
mod operation;
mod overlap;
mod parser;
mod persisted;
mod plan;
mod scopes;
mod types;
mod validate;
mod values;
mod variables;

pub use cache::{Documents, PreparedRequest};
pub use document::Document;
pub use executor::ConformingExecutor;
pub use limits::Limits;
pub use operation::Operation;
pub use persisted::names_document;
pub use types::{Lists, SchemaError, definitions};
