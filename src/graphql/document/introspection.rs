//! Resolves `__schema` and `__type` (<https://spec.graphql.org/October2021/#sec-Introspection>).
//!
//! The schema never changes, so it is read once from async-graphql as values, and each query is a selection from them.
//! That takes a fraction of the time of async-graphql's resolvers, is charged to the budget of the request while it
//! runs, and yields to other tasks.

use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::Positioned;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{Executor, Name, Request, ServerError, Value};
use async_graphql_value::Value as Literal;

use crate::domain::Result;
use crate::graphql::budget::{Budget, PUNCTUATION};

/// A field of an object, as in [`Value::Object`].
type Object = IndexMap<Name, Value>;

/// Every field of introspection. References to named types have their kind and name only.
const EVERYTHING: &str = include_str!("everything.graphql");
/// The number of values after which the resolution yields to other tasks.
const YIELD_AFTER: u64 = 1_000;
/// The number of values after which they are charged to the budget.
const CHARGE_AFTER: u64 = 10_000;

/// The introspection of one schema.
#[derive(Debug)]
pub(super) struct Introspection {
    schema: Object,
    /// The types, by name.
    types: HashMap<Name, Object>,
}

/// What a request selected so far and has not yet charged.
#[derive(Debug)]
struct Usage<'a> {
    budget: &'a Budget,
    values: u64,
    bytes: usize,
}

impl Usage<'_> {
    fn charge(&mut self) -> Result<()> {
        let charged = self.budget.introspection(self.values, self.bytes);
        (self.values, self.bytes) = (0, 0);
        charged
    }
}

/// Whether a root field is introspection.
pub(super) fn is_introspection(field: &Field) -> bool {
    matches!(field.name.node.as_str(), "__schema" | "__type")
}

/// Removes the root fields that are introspection from an operation, and returns them.
pub(super) fn take_introspection(root: &mut SelectionSet) -> Vec<Field> {
    let mut taken = Vec::new();
    root.items.retain(|item| match &item.node {
        Selection::Field(field) if is_introspection(&field.node) => {
            taken.push(field.node.clone());
            false
        }
        _ => true,
    });
    taken
}

impl Introspection {
    /// Reads the introspection of the executor's schema.
    ///
    /// # Errors
    /// The errors of the executor.
    pub(super) async fn read(executor: &impl Executor) -> Result<Self, Vec<ServerError>> {
        let response = executor.execute(Request::new(EVERYTHING)).await.into_result()?.data;
        let Value::Object(mut response) = response else { return Ok(Self::of(Object::new())) };
        let schema = match response.swap_remove("__schema") {
            Some(Value::Object(schema)) => schema,
            _ => Object::new(),
        };
        Ok(Self::of(schema))
    }

    fn of(mut schema: Object) -> Self {
        let list = match schema.get_mut("types") {
            Some(Value::List(types)) => std::mem::take(types),
            _ => Vec::new(),
        };
        let (mut types, mut references) = (HashMap::with_capacity(list.len()), Vec::with_capacity(list.len()));
        for one in list {
            if let Value::Object(one) = one
                && let Some(Value::String(name)) = one.get("name")
            {
                let name = Name::new(name);
                references.push(Value::Object(Object::from_iter([(Name::new("name"), Value::from(name.as_str()))])));
                types.insert(name, one);
            }
        }
        schema.insert(Name::new("types"), Value::List(references));
        Self { schema, types }
    }

    /// Resolves root fields, without fragments and variables.
    ///
    /// # Errors
    /// The budget is exceeded.
    pub(super) async fn resolve(&self, fields: &[Field], budget: &Budget) -> Result<Object> {
        let mut usage = Usage { budget, values: 0, bytes: 0 };
        let mut resolved = Object::with_capacity(fields.len());
        for field in fields {
            let selection = &field.selection_set.node;
            let value = match field.name.node.as_str() {
                "__schema" => self.schema(selection, &mut usage).await?,
                _ => match argument(field, "name") {
                    Some(Literal::String(name)) => self
                        .types
                        .get(name.as_str())
                        .map_or(Ok(Value::Null), |found| self.object("__Type", found, selection, &mut usage))?,
                    _ => Value::Null,
                },
            };
            add(&mut resolved, field, value, &mut usage);
        }
        usage.charge()?;
        Ok(resolved)
    }

    /// Resolves `__schema`: the longest lists, with pauses.
    async fn schema(&self, selection: &SelectionSet, usage: &mut Usage<'_>) -> Result<Value> {
        let mut resolved = Object::with_capacity(selection.items.len());
        for field in fields(selection) {
            let value = match self.schema.get(field.name.node.as_str()) {
                Some(Value::List(items)) => {
                    let mut values = Vec::with_capacity(items.len());
                    for item in items {
                        usage.values += 1;
                        values.push(self.value(field, item, usage)?);
                        if usage.values >= YIELD_AFTER {
                            usage.charge()?;
                            tokio::task::yield_now().await;
                        }
                    }
                    Value::List(values)
                }
                Some(value) => self.value(field, value, usage)?,
                None => leaf_of("__Schema", field),
            };
            add(&mut resolved, field, value, usage);
        }
        Ok(Value::Object(resolved))
    }

    /// Resolves the fields of an object. Recursion is bounded by the depth limit of documents.
    fn object(&self, ty: &str, object: &Object, selection: &SelectionSet, usage: &mut Usage<'_>) -> Result<Value> {
        let mut resolved = Object::with_capacity(selection.items.len());
        for field in fields(selection) {
            let value = match object.get(field.name.node.as_str()) {
                Some(Value::List(items)) => {
                    let is_included = |item: &&Value| includes_deprecated(field) || !is_deprecated(item);
                    let items = items.iter().filter(is_included).map(|item| {
                        usage.values += 1;
                        self.value(field, item, usage)
                    });
                    Value::List(items.collect::<Result<_>>()?)
                }
                Some(value) => self.value(field, value, usage)?,
                None => leaf_of(ty, field),
            };
            add(&mut resolved, field, value, usage);
        }
        // The items of one list of `__schema` may have any number of values below them.
        if usage.values >= CHARGE_AFTER {
            usage.charge()?;
        }
        Ok(Value::Object(resolved))
    }

    fn value(&self, field: &Field, value: &Value, usage: &mut Usage<'_>) -> Result<Value> {
        match value {
            Value::Object(object) => {
                let ty = type_of(&field.name.node);
                // A reference to a named type stands for the type itself.
                let named = match object.get("name") {
                    Some(Value::String(name)) if ty == "__Type" => self.types.get(name.as_str()),
                    _ => None,
                };
                self.object(ty, named.unwrap_or(object), &field.selection_set.node, usage)
            }
            Value::String(text) => {
                usage.bytes += text.len();
                Ok(value.clone())
            }
            other => Ok(other.clone()),
        }
    }
}

fn fields(selection: &SelectionSet) -> impl Iterator<Item = &Field> {
    // All introspection types are objects, so the document has no fragments here.
    selection.items.iter().filter_map(|item| match &item.node {
        Selection::Field(field) => Some(&field.node),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
    })
}

fn add(resolved: &mut Object, field: &Field, value: Value, usage: &mut Usage<'_>) {
    let key = &field.response_key().node;
    usage.values += 1;
    usage.bytes += key.len() + PUNCTUATION;
    resolved.insert(key.clone(), value);
}

/// A field that is not stored: `__typename`, or a field of other kinds of types.
fn leaf_of(ty: &str, field: &Field) -> Value {
    if field.name.node == "__typename" { Value::from(ty) } else { Value::Null }
}

/// The type of the objects in a field.
fn type_of(field: &str) -> &'static str {
    match field {
        "fields" => "__Field",
        "args" | "inputFields" => "__InputValue",
        "enumValues" => "__EnumValue",
        "directives" => "__Directive",
        _ => "__Type",
    }
}

fn argument<'a>(field: &'a Field, wanted: &str) -> Option<&'a Literal> {
    let is_wanted = |argument: &&(Positioned<Name>, Positioned<Literal>)| argument.0.node == wanted;
    field.arguments.iter().find(is_wanted).map(|(_, value)| &value.node)
}

fn includes_deprecated(field: &Field) -> bool {
    argument(field, "includeDeprecated") == Some(&Literal::Boolean(true))
}

fn is_deprecated(item: &Value) -> bool {
    matches!(item, Value::Object(item) if item.get("isDeprecated") == Some(&Value::Boolean(true)))
}
