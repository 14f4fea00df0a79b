//! A document that is valid, in the form that it is expanded from.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_graphql::parser::Positioned;
use async_graphql::parser::types::{OperationType, Type, VariableDefinition};
use async_graphql::{Name, Pos, ServerError};
use async_graphql_value::Value;

use super::persisted::DocumentHash;
use crate::graphql::error::{ErrorCode, request_error};

/// A parsed document, valid against the schema whatever its variables hold.
#[derive(Debug)]
pub struct Document {
    /// Tells it from every other document of this process.
    pub(super) serial: u64,
    /// Of its text.
    pub(super) hash: DocumentHash,
    /// Whether it has been given to the cache.
    pub(super) is_kept: AtomicBool,
    pub(super) operations: Vec<Operation>,
    pub(super) sets: Sets,
    /// About how much memory it takes, in bytes.
    pub(super) weight: usize,
}

/// One operation of a document.
#[derive(Debug)]
pub struct Operation {
    pub(super) name: Option<Name>,
    pub(super) kind: OperationType,
    pub(super) pos: Pos,
    pub(super) variables: Vec<Positioned<VariableDefinition>>,
    pub(super) root: Name,
    pub(super) set: SetId,
    /// The variables that decide its `@skip` and `@include`, its fragments' included.
    pub(super) switches: Vec<Name>,
}

/// The selection sets of a document.
#[derive(Debug, Default)]
pub(super) struct Sets(pub(super) Vec<Set>);

/// Names one selection set of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetId(pub(super) usize);

#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) selections: Vec<Selected>,
}

/// What stands in a selection set.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) conditions: Vec<Condition>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Field(Arc<Field>),
    /// A fragment, named or inline; without `on` it takes whatever its surroundings are.
    Fragment {
        on: Option<Name>,
        set: SetId,
    },
}

/// `@include`, or `@skip`.
#[derive(Debug)]
pub(super) struct Condition {
    /// The value that lets the selection in.
    pub(super) wanted: bool,
    pub(super) value: Switch,
}

#[derive(Debug)]
pub(super) enum Switch {
    Constant(bool),
    Variable(Name),
}

/// A field as the document has it, without its directives.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) pos: Pos,
    /// The type that it is asked of, as the document has it.
    pub(super) parent: Name,
    pub(super) alias: Option<Positioned<Name>>,
    pub(super) name: Positioned<Name>,
    pub(super) arguments: Vec<(Positioned<Name>, Positioned<Value>)>,
    pub(super) ty: Type,
    pub(super) set: Option<SetId>,
}

impl Field {
    /// Its name in the response.
    pub(super) fn key(&self) -> &Name {
        self.alias.as_ref().map_or(&self.name.node, |alias| &alias.node)
    }
}

impl Sets {
    /// What stands in a selection set, and in each fragment that belongs to it.
    pub(super) fn with_fragments(&self, set: SetId) -> impl Iterator<Item = &[Selected]> {
        let (mut seen, mut open) = (HashSet::from([set]), vec![set]);
        std::iter::from_fn(move || {
            let set = &self[open.pop()?];
            let fragments = set.selections.iter().filter_map(|selected| match &selected.what {
                What::Fragment { set, .. } => Some(*set),
                What::Field(_) => None,
            });
            open.extend(fragments.filter(|set| seen.insert(*set)));
            Some(set.selections.as_slice())
        })
    }
}

impl std::ops::Index<SetId> for Sets {
    type Output = Set;

    fn index(&self, id: SetId) -> &Set {
        &self.0[id.0]
    }
}

impl Document {
    pub(super) fn next_serial() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The operation that is meant (GraphQL specification, `GetOperation`).
    ///
    /// # Errors
    /// There is none of the name, or several and no name.
    pub fn operation(&self, name: Option<&str>) -> Result<&Operation, ServerError> {
        self.operation_index(name).map(|index| &self.operations[index])
    }

    /// The names of the root fields that an operation asks for, as often as it does. A fragment counts once: spread again, its
    /// fields merge with what is there.
    pub fn root_fields<'a>(&'a self, operation: &'a Operation) -> impl Iterator<Item = &'a str> {
        self.sets.with_fragments(operation.set).flatten().filter_map(|selected| match &selected.what {
            What::Field(field) => Some(field.name.node.as_str()),
            What::Fragment { .. } => None,
        })
    }

    pub(super) fn operation_index(&self, name: Option<&str>) -> Result<usize, ServerError> {
        let message = match name {
            Some(name) => {
                let is_named = |operation: &Operation| operation.name.as_ref().is_some_and(|own| own == name);
                if let Some(index) = self.operations.iter().position(is_named) {
                    return Ok(index);
                }
                "The document has no operation of the name in `operationName`."
            }
            None if self.operations.len() == 1 => return Ok(0),
            None if self.operations.is_empty() => "The document has no operation.",
            None => "The document has several operations: name one in `operationName`.",
        };
        Err(request_error(ErrorCode::InvalidDocument, message))
    }
}

impl Operation {
    /// Whether it is a query, a mutation or a subscription.
    pub fn kind(&self) -> OperationType {
        self.kind
    }

    /// Its name, which the client chose.
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(Name::as_str)
    }
}
