//! Coerces the variable values of a request (<https://spec.graphql.org/October2021/#CoerceVariableValues()>).

use std::collections::HashMap;

use async_graphql::parser::Positioned;
use async_graphql::parser::types::VariableDefinition;
use async_graphql::{ErrorExtensionValues, Name, ServerError, Value, Variables, value};

use super::errors::{Refusals, invalid_input};
use super::types::Types;
use super::values::{ValueErrorKind, coerce_value, memory_size};

/// Coerced variable values by name. A variable without a value and without a default is absent.
#[derive(Debug, Default)]
pub(super) struct VariableValues(HashMap<Name, VariableValue>);

#[derive(Debug)]
struct VariableValue {
    value: Value,
    /// The approximate memory of the value, in bytes.
    bytes: usize,
}

/// Coerces the variable values (<https://spec.graphql.org/October2021/#CoerceVariableValues()>). Values for
/// variables that the operation does not define are ignored.
///
/// # Errors
/// INVALID_INPUT for each variable that is missing or does not match its type.
pub(super) fn coerce_variable_values(
    types: &Types,
    definitions: &[Positioned<VariableDefinition>],
    mut given: Variables,
) -> Result<VariableValues, Vec<ServerError>> {
    let mut coerced = HashMap::with_capacity(definitions.len());
    let mut refusals = Refusals::default();
    for definition in definitions {
        let (pos, definition) = (definition.pos, &definition.node);
        let (name, ty) = (&definition.name.node, &definition.var_type.node);
        let value = match given.remove(name) {
            Some(value) => match coerce_value(types, value, ty) {
                Ok(value) => value,
                Err(error) => {
                    let message = error.describe(&format!("Variable \"${name}\""));
                    let mut refusal = invalid_input(&message, pos);
                    name_field(&mut refusal, error.path(), &error.kind, &message);
                    refusals.push(*refusal);
                    continue;
                }
            },
            None => match &definition.default_value {
                Some(default) => default.node.clone(),
                None if ty.nullable => continue,
                None => {
                    refusals.push(*invalid_input(format!("Variable \"${name}\" is required."), pos));
                    continue;
                }
            },
        };
        let bytes = memory_size(&value);
        coerced.insert(name.clone(), VariableValue { value, bytes });
    }
    refusals.finish()?;
    Ok(VariableValues(coerced))
}

impl VariableValues {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|variable| &variable.value)
    }

    pub(super) fn bytes(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |variable| variable.bytes)
    }

    /// The approximate memory of all values, in bytes.
    pub(super) fn total_bytes(&self) -> usize {
        self.0.values().map(|variable| variable.bytes).sum()
    }
}

/// Adds the path of the invalid input field to the error, as the domain does for its own input errors.
fn name_field(error: &mut ServerError, path: Vec<String>, kind: &ValueErrorKind, message: &str) {
    if path.is_empty() {
        return;
    }
    let code = match kind {
        ValueErrorKind::WrongType(_) | ValueErrorKind::NotOneField => "MALFORMED",
        ValueErrorKind::Missing => "REQUIRED",
        ValueErrorKind::Unknown => "UNKNOWN",
    };
    let field = value!({ "path": path, "code": code, "message": message });
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("fields", Value::List(vec![field]));
}
