//! Whether fields of one response key can be one field (GraphQL specification, 5.3.2 "Field Selection Merging").
//!
//! Instead of comparing pairs, which is quadratic and worse with fragments, sets of selection sets are compared as a whole: all
//! fields of a key against the first, then all of what they contain as one set. What was compared is not compared again.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, OperationType, Type};
use async_graphql_value::Value;

use super::document::{Field, Operation, SetId, Sets, What};
use super::errors::{Refusal, Refusals, invalid, too_complex};
use super::limits::Limits;
use super::types::Types;

pub(super) fn check(operations: &[Operation], sets: &Sets, types: &Types, limits: &Limits, refusals: &mut Refusals) {
    let mut overlap = Overlap {
        sets,
        types,
        depth: limits.depth,
        steps: limits.steps(),
        shapes: HashSet::new(),
        fields: HashSet::new(),
    };
    for operation in operations {
        if let Err(refusal) = overlap.operation(operation) {
            refusals.push(refusal);
        }
    }
}

type Keys<'a> = IndexMap<&'a Name, Vec<&'a Field>>;

struct Overlap<'a> {
    sets: &'a Sets,
    types: &'a Types,
    depth: usize,
    steps: usize,
    /// What has the same shape, and what are the same fields, as far as it was compared.
    shapes: HashSet<Vec<SetId>>,
    fields: HashSet<Vec<SetId>>,
}

impl<'a> Overlap<'a> {
    fn operation(&mut self, operation: &Operation) -> Result<(), Refusal> {
        if operation.kind == OperationType::Subscription {
            let keys = self.keys(&[operation.set])?;
            let is_introspection = keys.values().flatten().any(|field| field.name.node.starts_with("__"));
            if keys.len() != 1 || is_introspection {
                return Err(invalid("A subscription must have exactly one root field.", operation.pos));
            }
        }
        self.same_shapes(vec![operation.set], 0)?;
        self.same_fields(vec![operation.set], 0)
    }

    /// The fields of some selection sets, and of all fragments in them, by response key.
    fn keys(&mut self, sets: &[SetId]) -> Result<Keys<'a>, Refusal> {
        let mut keys = Keys::new();
        let mut seen = HashSet::new();
        let mut pending = sets.to_vec();
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            for selected in &self.sets[id].selections {
                self.steps = self.steps.checked_sub(1).ok_or_else(|| too_complex(TOO_MANY, None))?;
                match &selected.what {
                    What::Field(field) => keys.entry(field.key()).or_default().push(field),
                    What::Fragment { set, .. } => pending.push(*set),
                }
            }
        }
        Ok(keys)
    }

    /// `SameResponseShape` of all fields of each key, whatever types they are of.
    fn same_shapes(&mut self, sets: Vec<SetId>, depth: usize) -> Result<(), Refusal> {
        if depth > self.depth {
            return Err(too_complex(super::merge::TOO_DEEP, None));
        }
        for (key, fields) in self.keys(&sets)? {
            let mut others = fields.iter();
            let Some(first) = others.next() else { continue };
            if let Some(other) = others.find(|other| !self.same_shape(&first.ty, &other.ty)) {
                return Err(conflict(key, other, "they return different types"));
            }
            let below = contents(&fields);
            if !below.is_empty() && self.shapes.insert(below.clone()) {
                self.same_shapes(below, depth + 1)?;
            }
        }
        Ok(())
    }

    fn same_shape(&self, one: &Type, other: &Type) -> bool {
        one.nullable == other.nullable
            && match (&one.base, &other.base) {
                (BaseType::List(one), BaseType::List(other)) => self.same_shape(one, other),
                (BaseType::Named(one), BaseType::Named(other)) => {
                    one == other || (self.types.is_composite(one) && self.types.is_composite(other))
                }
                _ => false,
            }
    }

    /// Fields of a key that one object may have are the same field with the same arguments.
    fn same_fields(&mut self, sets: Vec<SetId>, depth: usize) -> Result<(), Refusal> {
        if depth > self.depth {
            return Err(too_complex(super::merge::TOO_DEEP, None));
        }
        for (key, fields) in self.keys(&sets)? {
            for together in self.of_one_object(&fields) {
                let mut others = together.iter();
                let Some(first) = others.next() else { continue };
                for other in others {
                    if first.name.node != other.name.node {
                        return Err(conflict(key, other, "they are different fields"));
                    }
                    if !same_arguments(first, other) {
                        return Err(conflict(key, other, "they have different arguments"));
                    }
                }
                let below = contents(&together);
                if !below.is_empty() && self.fields.insert(below.clone()) {
                    self.same_fields(below, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Fields in groups that one object may have: those of abstract types, together with those of each object type.
    fn of_one_object(&mut self, fields: &[&'a Field]) -> Vec<Vec<&'a Field>> {
        let (of_objects, of_any): (Vec<&Field>, Vec<&Field>) =
            fields.iter().copied().partition(|field| self.types.is_object(&field.parent));
        let mut groups: HashMap<&Name, Vec<&Field>> = HashMap::new();
        for field in of_objects {
            groups.entry(&field.parent).or_insert_with(|| of_any.clone()).push(field);
        }
        if groups.is_empty() {
            return vec![of_any];
        }
        self.steps = self.steps.saturating_sub(groups.len() * of_any.len());
        groups.into_values().collect()
    }
}

const TOO_MANY: &str = "The document combines too many fragments.";

fn conflict(key: &Name, field: &Field, why: &str) -> Refusal {
    let message = format!("Fields \"{key}\" conflict because {why}. Ask for one of them by an alias.");
    invalid(message, field.pos)
}

/// The selection sets of some fields.
fn contents(fields: &[&Field]) -> Vec<SetId> {
    let mut sets: Vec<SetId> = fields.iter().filter_map(|field| field.set).collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

fn same_arguments(one: &Field, other: &Field) -> bool {
    one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| {
            let found = other.arguments.iter().find(|(other, _)| other.node == name.node);
            found.is_some_and(|(_, other)| same_value(&value.node, &other.node))
        })
}

/// As they are written, the order of input fields apart.
fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same_value(one, other)))
        }
        (one, other) => one == other,
    }
}
