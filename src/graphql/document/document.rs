//! A validated document.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_graphql::parser::Positioned;
use async_graphql::parser::types::{OperationType, Type, VariableDefinition};
use async_graphql::{Name, Pos, ServerError};
use async_graphql_value::Value;

use super::persisted::DocumentHash;
use crate::graphql::error::{ErrorCode, request_error};

/// A parsed document, valid against the schema for any variable values.
#[derive(Debug)]
pub struct Document {
    /// Identifies the document within this process.
    pub(super) serial: u64,
    /// The hash of its text.
    pub(super) hash: DocumentHash,
    /// Whether it has been added to the cache.
    pub(super) is_cached: AtomicBool,
    pub(super) operations: Vec<OperationDefinition>,
    pub(super) sets: SelectionSets,
    /// Its approximate memory, in bytes.
    pub(super) weight: usize,
}

/// An operation of a document.
#[derive(Debug)]
pub(super) struct OperationDefinition {
    pub(super) name: Option<Name>,
    pub(super) kind: OperationType,
    pub(super) pos: Pos,
    pub(super) variables: Vec<Positioned<VariableDefinition>>,
    pub(super) root: Name,
    pub(super) set: SelectionSetId,
    /// The variables of its `@skip` and `@include` directives, including those in fragments.
    pub(super) condition_variables: Vec<Name>,
}

/// The selection sets of a document.
#[derive(Debug, Default)]
pub(super) struct SelectionSets(pub(super) Vec<SelectionSet>);

/// Identifies a selection set of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SelectionSetId(pub(super) usize);

#[derive(Debug, Default)]
pub(super) struct SelectionSet {
    pub(super) selections: Vec<Selection>,
}

/// A selection: a field or a fragment.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) conditions: Vec<Condition>,
    pub(super) kind: SelectionKind,
}

#[derive(Debug)]
pub(super) enum SelectionKind {
    Field(Arc<Field>),
    /// A fragment spread or an inline fragment. Without a type condition, it applies to any type.
    Fragment {
        on: Option<Name>,
        set: SelectionSetId,
    },
}

/// The condition of an `@include` or a `@skip`.
#[derive(Debug)]
pub(super) struct Condition {
    /// The value with which the selection is included.
    pub(super) wanted: bool,
    pub(super) value: ConditionValue,
}

#[derive(Debug)]
pub(super) enum ConditionValue {
    Constant(bool),
    Variable(Name),
}

/// A field, without its directives.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) pos: Pos,
    /// The type that the selection set is on.
    pub(super) parent: Name,
    pub(super) alias: Option<Positioned<Name>>,
    pub(super) name: Positioned<Name>,
    pub(super) arguments: Vec<(Positioned<Name>, Positioned<Value>)>,
    pub(super) ty: Type,
    pub(super) set: Option<SelectionSetId>,
}

impl Field {
    /// Its response key.
    pub(super) fn key(&self) -> &Name {
        self.alias.as_ref().map_or(&self.name.node, |alias| &alias.node)
    }
}

impl SelectionSets {
    /// A selection set and, transitively, those of the fragments in it.
    pub(super) fn with_fragments(&self, set: SelectionSetId) -> impl Iterator<Item = &[Selection]> {
        let (mut seen, mut open) = (HashSet::from([set]), vec![set]);
        std::iter::from_fn(move || {
            let set = &self[open.pop()?];
            let fragments = set.selections.iter().filter_map(|selected| match &selected.kind {
                SelectionKind::Fragment { set, .. } => Some(*set),
                SelectionKind::Field(_) => None,
            });
            open.extend(fragments.filter(|set| seen.insert(*set)));
            Some(set.selections.as_slice())
        })
    }
}

impl std::ops::Index<SelectionSetId> for SelectionSets {
    type Output = SelectionSet;

    fn index(&self, id: SelectionSetId) -> &SelectionSet {
        &self.0[id.0]
    }
}

impl Document {
    pub(super) fn next_serial() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Selects the operation to execute (<https://spec.graphql.org/October2021/#GetOperation()>).
    ///
    /// # Errors
    /// No operation has the given name, or there are several operations and no name.
    pub(super) fn operation_index(&self, name: Option<&str>) -> Result<usize, ServerError> {
        let message = match name {
            Some(name) => {
                let is_named = |operation: &OperationDefinition| operation.name.as_ref().is_some_and(|own| own == name);
                if let Some(index) = self.operations.iter().position(is_named) {
                    return Ok(index);
                }
                "The document has no operation with the name in `operationName`."
            }
            None if self.operations.len() == 1 => return Ok(0),
            None if self.operations.is_empty() => "The document has no operation.",
            None => "The document has several operations; `operationName` is required.",
        };
        Err(request_error(ErrorCode::InvalidDocument, message))
    }
}
