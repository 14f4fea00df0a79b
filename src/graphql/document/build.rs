//! Builds the document that async-graphql executes from a plan and the variable values: one operation without fragment
//! spreads, directives or variables. An inline fragment remains only where an abstract type has different fields for
//! different object types, one fragment for each type.
//!
//! Variables are replaced by their values because async-graphql passes an omitted variable to resolvers as null and
//! rejects a nullable variable with a default where the argument is non-null.

use std::cell::Cell;
use std::collections::HashMap;

use async_graphql::parser::Positioned;
use async_graphql::parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, Field, InlineFragment, OperationDefinition, OperationType,
    Selection as Item, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Pos, Value as ConstValue};
use async_graphql_value::Value;

use super::document;
use super::errors::{Refusal, invalid, invalid_input, too_complex};
use super::limits::Limits;
use super::plan::{Plan, PlannedField, PlannedFields, PlannedSelectionSet};
use super::types::{Types, inner_named_type};
use super::values::{self, literal_memory_size, replace_variables};
use super::variables::VariableValues;

/// The response key of the `__typename` that the server adds. It contains a space, so no client can use it.
pub(super) const TYPENAME_MARKER: &str = " typename";

/// The assumed page size of a connection without `first` and `last`.
const DEFAULT_PAGE: u64 = 20;

/// Builds the document to execute.
///
/// # Errors
/// QUERY_TOO_COMPLEX if the fields or the argument values exceed a limit; INVALID_DOCUMENT for introspection where it
/// is turned off; INVALID_INPUT if a variable puts null into a non-null argument.
pub(super) fn build(
    plan: &Plan,
    types: &Types,
    variables: &VariableValues,
    limits: &Limits,
) -> Result<ExecutableDocument, Refusal> {
    let (bytes, introspection, holds_null) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let limit = match plan.kind {
        OperationType::Subscription => limits.subscription_bytes,
        OperationType::Query | OperationType::Mutation => limits.argument_bytes,
    };
    let builder = Builder { types, variables, bytes, holds_null, introspection, limit };
    let (selection_set, cost) = builder.selection_set(&plan.root, plan.pos)?;
    if limits.introspection == 0 && builder.introspection.get() > 0 {
        return Err(invalid("Introspection is disabled.", plan.pos));
    }
    if cost > limits.complexity || builder.introspection.get() > limits.introspection {
        return Err(too_complex("The query is too complex.", Some(plan.pos)));
    }
    let operation =
        OperationDefinition { ty: plan.kind, variable_definitions: Vec::new(), directives: Vec::new(), selection_set };
    Ok(ExecutableDocument {
        operations: DocumentOperations::Single(Positioned::new(operation, plan.pos)),
        fragments: HashMap::new(),
    })
}

struct Builder<'a> {
    types: &'a Types,
    variables: &'a VariableValues,
    /// The size of the values written so far.
    bytes: Cell<usize>,
    /// Whether the current argument contains a variable whose value is null.
    holds_null: Cell<bool>,
    /// The cost of `__schema` and `__type`.
    introspection: Cell<u64>,
    limit: usize,
}

impl Builder<'_> {
    fn selection_set(
        &self,
        selection: &PlannedSelectionSet,
        pos: Pos,
    ) -> Result<(Positioned<SelectionSet>, u64), Refusal> {
        let mut items = Vec::new();
        if selection.has_marker {
            items.push(typename_marker(pos));
        }
        let mut cost = 0;
        match &selection.fields {
            PlannedFields::OfObject(fields) => cost = self.fields(fields, &mut items)?,
            PlannedFields::ByType(types) => {
                for (object, fields) in types {
                    let mut own = Vec::with_capacity(fields.len());
                    cost = self.fields(fields, &mut own)?.max(cost);
                    let on = Positioned::new(TypeCondition { on: Positioned::new(object.clone(), pos) }, pos);
                    let fragment = InlineFragment {
                        type_condition: Some(on),
                        directives: Vec::new(),
                        selection_set: Positioned::new(SelectionSet { items: own }, pos),
                    };
                    items.push(Positioned::new(Item::InlineFragment(Positioned::new(fragment, pos)), pos));
                }
            }
        }
        Ok((Positioned::new(SelectionSet { items }, pos), cost))
    }

    fn fields(&self, fields: &[PlannedField], items: &mut Vec<Positioned<Item>>) -> Result<u64, Refusal> {
        let mut cost: u64 = 0;
        for planned in fields {
            let (pos, field) = (planned.field.pos, &planned.field);
            let mut arguments = Vec::with_capacity(field.arguments.len());
            for (name, value) in &field.arguments {
                self.holds_null.set(false);
                if let Some(value) = self.value(value)? {
                    if self.holds_null.get() {
                        self.check_null(field, name, &value)?;
                    }
                    arguments.push((name.clone(), value));
                }
            }
            let (selection_set, below) = match &planned.selection {
                Some(selection) => {
                    let (set, below) = self.selection_set(selection, pos)?;
                    (set, below.saturating_mul(self.multiplier(field, &arguments)))
                }
                None if matches!(field.ty.base, BaseType::List(_)) => {
                    (Positioned::default(), self.multiplier(field, &arguments))
                }
                None => Default::default(),
            };
            let own = below.saturating_add(1);
            if matches!(field.name.node.as_str(), "__schema" | "__type") {
                self.introspection.set(self.introspection.get().saturating_add(own));
            } else {
                cost = cost.saturating_add(own);
            }
            let field = Field {
                alias: field.alias.clone(),
                name: field.name.clone(),
                arguments,
                directives: Vec::new(),
                selection_set,
            };
            items.push(Positioned::new(Item::Field(Positioned::new(field, pos)), pos));
        }
        Ok(cost)
    }

    fn value(&self, value: &Positioned<Value>) -> Result<Option<Positioned<Value>>, Refusal> {
        let count = |bytes| {
            let bytes = self.bytes.get().saturating_add(bytes);
            self.bytes.set(bytes);
            bytes <= self.limit
        };
        let held = |name: &Name| {
            // Beyond the limit, nothing more is copied; the document is refused below.
            let value = if count(self.variables.bytes(name)) { self.variables.get(name).cloned() } else { None };
            if value == Some(ConstValue::Null) {
                self.holds_null.set(true);
            }
            value
        };
        let is_within = count(literal_memory_size(&value.node));
        let replaced = if is_within { replace_variables(&value.node, &held) } else { None };
        if self.bytes.get() > self.limit {
            return Err(too_complex("The argument values are too large in total.", Some(value.pos)));
        }
        Ok(replaced.map(|replaced| Positioned::new(replaced, value.pos)))
    }

    /// Checks an argument in which a variable is null. A nullable variable with a default is allowed in a non-null
    /// position, so an explicit null is only found at run time. See
    /// <https://spec.graphql.org/October2021/#CoerceArgumentValues()>.
    fn check_null(
        &self,
        field: &document::Field,
        name: &Positioned<Name>,
        value: &Positioned<Value>,
    ) -> Result<(), Refusal> {
        let output = self.types.field(&field.parent, &field.name.node);
        let Some(input) = output.and_then(|output| output.arguments.get(&name.node)) else { return Ok(()) };
        values::check_literal(self.types, &value.node, &input.ty, false, &mut |_, _, _| {}).map_err(|error| {
            let subject = format!("Argument \"{}\" of field \"{}\"", name.node, field.name.node);
            invalid_input(error.describe(&subject), value.pos)
        })
    }

    /// Estimates how many times the selection set of a field is executed.
    fn multiplier(&self, field: &document::Field, arguments: &[(Positioned<Name>, Positioned<Value>)]) -> u64 {
        let ty = inner_named_type(&field.ty);
        let argument =
            |wanted: &str| arguments.iter().find(|(name, _)| name.node == wanted).map(|(_, value)| &value.node);
        if self.types.is_connection(ty) {
            let page = |name| match argument(name) {
                Some(Value::Number(number)) => number.as_u64(),
                _ => None,
            };
            // At least 1, because fields such as `totalCount` are resolved for an empty page as well.
            // the same.
            return page("first").or_else(|| page("last")).unwrap_or(DEFAULT_PAGE).max(1);
        }
        if let Some(Value::List(ids)) = argument("ids") {
            return ids.len().max(1) as u64;
        }
        match &field.ty.base {
            BaseType::Named(_) => 1,
            BaseType::List(_) if field.parent == "__Schema" => self.types.len() as u64,
            // The page size is already counted at the connection.
            BaseType::List(_) if self.types.is_connection(&field.parent) => 1,
            BaseType::List(_) => self.types.field(&field.parent, &field.name.node).map_or(1, |field| field.max_length),
        }
    }
}

fn typename_marker(pos: Pos) -> Positioned<Item> {
    let field = Field {
        alias: Some(Positioned::new(Name::new(TYPENAME_MARKER), pos)),
        name: Positioned::new(Name::new("__typename"), pos),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    };
    Positioned::new(Item::Field(Positioned::new(field, pos)), pos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_can_write_the_typename_marker() {
        let limits = Limits::default();
        assert!(super::super::parser::parse(&format!("{{ {TYPENAME_MARKER}: __typename }}"), &limits).is_ok_and(
            |source| {
                let items = &source.operations[0].1.node.selection_set.node.items;
                matches!(&items[0].node, Item::Field(field) if field.node.response_key().node != TYPENAME_MARKER)
            }
        ));
    }
}
