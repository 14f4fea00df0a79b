//! An operation to execute.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Name, Variables};

use super::document::{Document, OperationDefinition, SelectionKind};
use crate::graphql::budget::Budget;

/// An operation of a valid document, with the values of its variables and a budget.
#[derive(Debug)]
pub struct Operation {
    pub(super) document: Arc<Document>,
    /// The index of its definition in the document.
    pub(super) index: usize,
    /// As given by the client.
    pub(super) variables: Variables,
    /// Limits and counts its use of resources.
    pub budget: Arc<Budget>,
}

impl Operation {
    /// The type of the operation.
    pub fn kind(&self) -> OperationType {
        self.definition().kind
    }

    /// The name of the operation, chosen by the client.
    pub fn name(&self) -> Option<&str> {
        self.definition().name.as_ref().map(Name::as_str)
    }

    /// The names of its root fields, one for each selection. A fragment that is spread several times counts once,
    /// because its fields merge.
    pub fn root_fields(&self) -> impl Iterator<Item = &str> {
        self.document.sets.with_fragments(self.definition().set).flatten().filter_map(|selected| match &selected.kind {
            SelectionKind::Field(field) => Some(field.name.node.as_str()),
            SelectionKind::Fragment { .. } => None,
        })
    }

    fn definition(&self) -> &OperationDefinition {
        &self.document.operations[self.index]
    }
}
