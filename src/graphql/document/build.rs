//! A plan and its variables as a document for async-graphql: one operation without fragments spread, directives or variables.
//! Inline fragments are left only where they tell the types of an abstract type apart, each type once.
//!
//! Variables are written out because an absent one would reach resolvers as null, and `T! = default` would refuse it.

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
use super::merge::{Fields, Plan, Planned, Selection};
use super::types::{Types, named};
use super::values::{self, size_of_literal, substitute};
use super::variables::Coerced;

/// The response key of what is asked on our own account. The space keeps it from meeting a client's.
pub(super) const MARK: &str = " typename";

/// The page of a connection that names none.
const DEFAULT_PAGE: u64 = 20;

/// # Errors
/// The fields cost too much, or the values of arguments are too large together.
pub(super) fn build(
    plan: &Plan,
    types: &Types,
    variables: &Coerced,
    limits: &Limits,
) -> Result<ExecutableDocument, Refusal> {
    let (bytes, introspection, holds_null) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let limit = match plan.kind {
        OperationType::Subscription => limits.subscription_bytes,
        OperationType::Query | OperationType::Mutation => limits.argument_bytes,
    };
    let build = Build { types, variables, bytes, holds_null, introspection, limit };
    let (selection_set, cost) = build.selection(&plan.root, plan.pos)?;
    if limits.introspection == 0 && build.introspection.get() > 0 {
        return Err(invalid("Introspection is turned off.", plan.pos));
    }
    if cost > limits.complexity || build.introspection.get() > limits.introspection {
        return Err(too_complex("The query is too complex.", Some(plan.pos)));
    }
    let operation =
        OperationDefinition { ty: plan.kind, variable_definitions: Vec::new(), directives: Vec::new(), selection_set };
    Ok(ExecutableDocument {
        operations: DocumentOperations::Single(Positioned::new(operation, plan.pos)),
        fragments: HashMap::new(),
    })
}

struct Build<'a> {
    types: &'a Types,
    variables: &'a Coerced,
    /// Of values written out so far.
    bytes: Cell<usize>,
    /// Whether the argument that is written out has a variable with null.
    holds_null: Cell<bool>,
    /// What introspection costs.
    introspection: Cell<u64>,
    limit: usize,
}

impl Build<'_> {
    fn selection(&self, selection: &Selection, pos: Pos) -> Result<(Positioned<SelectionSet>, u64), Refusal> {
        let mut items = Vec::new();
        if selection.is_marked {
            items.push(mark(pos));
        }
        let mut cost = 0;
        match &selection.fields {
            Fields::OfObject(fields) => cost = self.fields(fields, &mut items)?,
            Fields::ByType(types) => {
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

    fn fields(&self, fields: &[Planned], items: &mut Vec<Positioned<Item>>) -> Result<u64, Refusal> {
        let mut cost: u64 = 0;
        for planned in fields {
            let (pos, field) = (planned.field.pos, &planned.field);
            let mut arguments = Vec::with_capacity(field.arguments.len());
            for (name, value) in &field.arguments {
                self.holds_null.set(false);
                if let Some(value) = self.value(value)? {
                    if self.holds_null.get() {
                        self.refuse_null(field, name, &value)?;
                    }
                    arguments.push((name.clone(), value));
                }
            }
            let (selection_set, below) = match &planned.selection {
                Some(selection) => {
                    let (set, below) = self.selection(selection, pos)?;
                    (set, below.saturating_mul(self.times(field, &arguments)))
                }
                None if matches!(field.ty.base, BaseType::List(_)) => {
                    (Positioned::default(), self.times(field, &arguments))
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
            // Beyond the limit nothing is copied any more; the whole is refused below.
            let value = if count(self.variables.bytes(name)) { self.variables.get(name).cloned() } else { None };
            if value == Some(ConstValue::Null) {
                self.holds_null.set(true);
            }
            value
        };
        let is_within = count(size_of_literal(&value.node));
        let written = if is_within { substitute(&value.node, &held) } else { None };
        if self.bytes.get() > self.limit {
            return Err(too_complex("The values of the arguments are too large together.", Some(value.pos)));
        }
        Ok(written.map(|written| Positioned::new(written, value.pos)))
    }

    /// A variable that may be null stands where null cannot, for its default: a null that was given is told only here
    /// (GraphQL specification, 6.4.1 `CoerceArgumentValues`).
    fn refuse_null(
        &self,
        field: &document::Field,
        name: &Positioned<Name>,
        value: &Positioned<Value>,
    ) -> Result<(), Refusal> {
        let output = self.types.field(&field.parent, &field.name.node);
        let Some(input) = output.and_then(|output| output.arguments.get(&name.node)) else { return Ok(()) };
        values::check(self.types, &value.node, &input.ty, false, &mut |_, _, _| {}).map_err(|misfit| {
            let subject = format!("Argument \"{}\" of field \"{}\"", name.node, field.name.node);
            invalid_input(misfit.describe(&subject), value.pos)
        })
    }

    /// How often what a field contains is there, about.
    fn times(&self, field: &document::Field, arguments: &[(Positioned<Name>, Positioned<Value>)]) -> u64 {
        let ty = named(&field.ty);
        let argument =
            |wanted: &str| arguments.iter().find(|(name, _)| name.node == wanted).map(|(_, value)| &value.node);
        if self.types.is_connection(ty) {
            let page = |name| match argument(name) {
                Some(Value::Number(number)) => number.as_u64(),
                _ => None,
            };
            // Not every field of a connection is about its page.
            return page("first").or_else(|| page("last")).unwrap_or(DEFAULT_PAGE).max(1);
        }
        if let Some(Value::List(ids)) = argument("ids") {
            return ids.len().max(1) as u64;
        }
        match &field.ty.base {
            BaseType::Named(_) => 1,
            BaseType::List(_) if field.parent == "__Schema" => self.types.len() as u64,
            // Its page is counted already.
            BaseType::List(_) if self.types.is_connection(&field.parent) => 1,
            BaseType::List(_) => self.types.field(&field.parent, &field.name.node).map_or(1, |field| field.longest),
        }
    }
}

fn mark(pos: Pos) -> Positioned<Item> {
    let field = Field {
        alias: Some(Positioned::new(Name::new(MARK), pos)),
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
    fn no_client_can_write_the_mark() {
        let limits = Limits::default();
        assert!(super::super::parser::parse(&format!("{{ {MARK}: __typename }}"), &limits).is_ok_and(|source| {
            let items = &source.operations[0].1.node.selection_set.node.items;
            matches!(&items[0].node, Item::Field(field) if field.node.response_key().node != MARK)
        }));
    }
}
