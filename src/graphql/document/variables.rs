//! What variables hold (GraphQL specification, 6.1.2 `CoerceVariableValues`).

use std::collections::HashMap;

use async_graphql::parser::Positioned;
use async_graphql::parser::types::VariableDefinition;
use async_graphql::{ErrorExtensionValues, Name, ServerError, Value, Variables, value};

use super::errors::{Refusals, invalid_input};
use super::types::Types;
use super::values::{MisfitKind, coerce, size};

/// Variables by name; one that was neither given nor has a default is not there.
#[derive(Debug, Default)]
pub(super) struct Coerced(HashMap<Name, Held>);

#[derive(Debug)]
struct Held {
    value: Value,
    /// About its size in memory, in bytes.
    bytes: usize,
}

impl Coerced {
    /// Variables that the operation does not define are ignored, as the specification has it: tools send what they have.
    ///
    /// # Errors
    /// INVALID_INPUT for each that is missing or does not fit its type.
    pub(super) fn new(
        types: &Types,
        definitions: &[Positioned<VariableDefinition>],
        mut given: Variables,
    ) -> Result<Self, Vec<ServerError>> {
        let mut coerced = HashMap::with_capacity(definitions.len());
        let mut refusals = Refusals::default();
        for definition in definitions {
            let (pos, definition) = (definition.pos, &definition.node);
            let (name, ty) = (&definition.name.node, &definition.var_type.node);
            let value = match given.remove(name) {
                Some(value) => match coerce(types, value, ty) {
                    Ok(value) => value,
                    Err(misfit) => {
                        let message = misfit.describe(&format!("Variable \"${name}\""));
                        let mut refusal = invalid_input(&message, pos);
                        name_field(&mut refusal, misfit.path(), &misfit.kind, &message);
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
            let bytes = size(&value);
            coerced.insert(name.clone(), Held { value, bytes });
        }
        refusals.finish()?;
        Ok(Self(coerced))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|held| &held.value)
    }

    pub(super) fn bytes(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |held| held.bytes)
    }
}

/// Tells clients which input field it is, as the domain does for what it refuses.
fn name_field(error: &mut ServerError, path: Vec<String>, kind: &MisfitKind, message: &str) {
    if path.is_empty() {
        return;
    }
    let code = match kind {
        MisfitKind::Mistyped(_) | MisfitKind::NotOne => "MALFORMED",
        MisfitKind::Missing => "REQUIRED",
        MisfitKind::Unknown => "UNKNOWN",
    };
    let field = value!({ "path": path, "code": code, "message": message });
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("fields", Value::List(vec![field]));
}
