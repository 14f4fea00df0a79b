//! Completes an executed response (<https://spec.graphql.org/October2021/#sec-Handling-Field-Errors>).
//!
//! async-graphql returns the fields of an object in the order in which they resolve, omits the key of a failed field,
//! returns null for an object if all its fields failed, and does not propagate null to the parent. The errors inside an
//! object, or its `__typename` marker, show whether the object exists.

use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, OperationType, Type};
use async_graphql::{Name, PathSegment, Response, ServerError, Value};

use super::build::TYPENAME_MARKER;
use super::plan::{Plan, PlannedField, PlannedSelectionSet};
use super::types::Types;

/// Completes the data of a response, puts its fields into the order of the document, and removes the `__typename`
/// markers that the server added.
pub(super) fn complete(plan: &Plan, types: &Types, response: &mut Response) {
    // A subscription that has not started has no data, and a request error has no path.
    let is_executed = response.data != Value::Null
        || (plan.kind != OperationType::Subscription && response.errors.iter().any(|error| !error.path.is_empty()));
    if !is_executed {
        return;
    }
    let errors = (!response.errors.is_empty()).then(|| Errors::new(&response.errors));
    let data = std::mem::take(&mut response.data);
    response.data = Completion { types }.object(data, &plan.root, errors.as_ref()).unwrap_or_default();
}

/// The paths of the errors, as a tree.
#[derive(Default)]
struct Errors<'a> {
    fields: HashMap<&'a str, Errors<'a>>,
    items: HashMap<usize, Errors<'a>>,
}

impl<'a> Errors<'a> {
    fn new(errors: &'a [ServerError]) -> Self {
        let mut root = Self::default();
        for error in errors {
            let mut place = &mut root;
            for segment in &error.path {
                place = match segment {
                    PathSegment::Field(name) => place.fields.entry(name).or_default(),
                    PathSegment::Index(index) => place.items.entry(*index).or_default(),
                };
            }
        }
        root
    }
}

struct Completion<'a> {
    types: &'a Types,
}

impl Completion<'_> {
    /// Completes a value of type `ty` (<https://spec.graphql.org/October2021/#CompleteValue()>). `None` is a null that
    /// propagates to the parent.
    fn value(
        &self,
        value: Value,
        ty: &Type,
        selection: Option<&PlannedSelectionSet>,
        errors: Option<&Errors<'_>>,
    ) -> Option<Value> {
        let completed = match (&ty.base, value) {
            (BaseType::List(_), value) if selection.is_none() && errors.is_none() => Some(value),
            (BaseType::List(inner), Value::List(items)) => {
                let item = |(index, item)| {
                    self.value(item, inner, selection, errors.and_then(|errors| errors.items.get(&index)))
                };
                items.into_iter().enumerate().map(item).collect::<Option<_>>().map(Value::List)
            }
            (BaseType::Named(_), value) => match selection {
                Some(selection) => self.object(value, selection, errors),
                None => Some(value),
            },
            (BaseType::List(_), value) => Some(value),
        };
        match completed {
            Some(Value::Null) | None if ty.nullable => Some(Value::Null),
            Some(Value::Null) | None => None,
            completed => completed,
        }
    }

    /// Completes an object. `None` is a null that propagates to the parent.
    fn object(&self, value: Value, selection: &PlannedSelectionSet, errors: Option<&Errors<'_>>) -> Option<Value> {
        let mut given = match value {
            Value::Object(given) => given,
            // The object exists, but all its fields failed.
            Value::Null if errors.is_some_and(|errors| !errors.fields.is_empty()) => IndexMap::new(),
            other => return Some(other),
        };
        let planned = selection.fields_of(&selection.parent);
        if !selection.has_marker && given.keys().eq(planned.iter().map(|planned| planned.field.key())) {
            for (value, planned) in given.values_mut().zip(planned) {
                *value = self.field(std::mem::take(value), &selection.parent, planned, errors)?;
            }
            return Some(Value::Object(given));
        }
        let object = match given.swap_remove(TYPENAME_MARKER) {
            Some(Value::String(name)) => Name::new(name),
            _ => selection.parent.clone(),
        };
        let fields = selection.fields_of(&object);
        let mut completed = IndexMap::with_capacity(fields.len());
        for planned in fields {
            let key = planned.field.key();
            let value = given.swap_remove(key).unwrap_or_default();
            completed.insert(key.clone(), self.field(value, &object, planned, errors)?);
        }
        Some(Value::Object(completed))
    }

    fn field(&self, value: Value, object: &str, planned: &PlannedField, errors: Option<&Errors<'_>>) -> Option<Value> {
        let field = &planned.field;
        // async-graphql describes `__Schema` instead.
        if object == "__Schema" && field.name.node == "description" {
            return Some(self.types.description().map(Value::from).unwrap_or_default());
        }
        let ty = self.types.field(object, &field.name.node).map_or(&field.ty, |output| &output.ty);
        let below = errors.and_then(|errors| errors.fields.get(field.key().as_str()));
        self.value(value, ty, planned.selection.as_deref(), below)
    }
}
