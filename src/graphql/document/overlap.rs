//! Checks that fields with the same response key can be merged
//! (<https://spec.graphql.org/October2021/#sec-Field-Selection-Merging>).
//!
//! The specification's algorithm compares pairs of fields, which is quadratic and worse with fragments. Here, all
//! fields of a response key are compared to the first one, and their selection sets are then checked as one set. Each
//! set of selection sets is checked once.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, OperationType, Type};
use async_graphql_value::Value;

use super::document::{Field, OperationDefinition, SelectionKind, SelectionSetId, SelectionSets};
use super::errors::{Refusal, Refusals, invalid, too_complex};
use super::limits::Limits;
use super::types::Types;

pub(super) fn check(
    operations: &[OperationDefinition],
    sets: &SelectionSets,
    types: &Types,
    limits: &Limits,
    refusals: &mut Refusals,
) {
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
            refusals.push(*refusal);
        }
    }
}

type FieldsByResponseKey<'a> = IndexMap<&'a Name, Vec<&'a Field>>;

struct Overlap<'a> {
    sets: &'a SelectionSets,
    types: &'a Types,
    depth: usize,
    steps: usize,
    /// The sets of selection sets that have already been checked by `same_response_shape` and by
    /// `fields_in_set_can_merge`.
    shapes: HashSet<Vec<SelectionSetId>>,
    fields: HashSet<Vec<SelectionSetId>>,
}

impl<'a> Overlap<'a> {
    fn operation(&mut self, operation: &OperationDefinition) -> Result<(), Refusal> {
        if operation.kind == OperationType::Subscription {
            let keys = self.fields_by_response_key(&[operation.set])?;
            let is_introspection = keys.values().flatten().any(|field| field.name.node.starts_with("__"));
            if keys.len() != 1 || is_introspection {
                return Err(invalid("A subscription must have exactly one root field.", operation.pos));
            }
        }
        self.same_response_shape(vec![operation.set], 0)?;
        self.fields_in_set_can_merge(vec![operation.set], 0)
    }

    /// The fields of some selection sets, including those in fragments, by response key.
    fn fields_by_response_key(&mut self, sets: &[SelectionSetId]) -> Result<FieldsByResponseKey<'a>, Refusal> {
        let mut keys = FieldsByResponseKey::new();
        let mut seen = HashSet::new();
        let mut pending = sets.to_vec();
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            for selected in &self.sets[id].selections {
                self.steps = self.steps.checked_sub(1).ok_or_else(|| too_complex(TOO_MANY, None))?;
                match &selected.kind {
                    SelectionKind::Field(field) => keys.entry(field.key()).or_default().push(field),
                    SelectionKind::Fragment { set, .. } => pending.push(*set),
                }
            }
        }
        Ok(keys)
    }

    /// Checks that all fields of a response key have the same shape, whatever their parent types
    /// (<https://spec.graphql.org/October2021/#SameResponseShape()>).
    fn same_response_shape(&mut self, sets: Vec<SelectionSetId>, depth: usize) -> Result<(), Refusal> {
        if depth > self.depth {
            return Err(too_complex(super::plan::TOO_DEEP, None));
        }
        for (key, fields) in self.fields_by_response_key(&sets)? {
            let mut others = fields.iter();
            let Some(first) = others.next() else { continue };
            if let Some(other) = others.find(|other| !self.same_type_shape(&first.ty, &other.ty)) {
                return Err(conflict(key, other, "they return different types"));
            }
            let below = selection_set_ids(&fields);
            if !below.is_empty() && self.shapes.insert(below.clone()) {
                self.same_response_shape(below, depth + 1)?;
            }
        }
        Ok(())
    }

    fn same_type_shape(&self, one: &Type, other: &Type) -> bool {
        one.nullable == other.nullable
            && match (&one.base, &other.base) {
                (BaseType::List(one), BaseType::List(other)) => self.same_type_shape(one, other),
                (BaseType::Named(one), BaseType::Named(other)) => {
                    one == other || (self.types.is_composite(one) && self.types.is_composite(other))
                }
                _ => false,
            }
    }

    /// Checks that the fields of a response key on the same object type have the same name and arguments
    /// (<https://spec.graphql.org/October2021/#FieldsInSetCanMerge()>).
    fn fields_in_set_can_merge(&mut self, sets: Vec<SelectionSetId>, depth: usize) -> Result<(), Refusal> {
        if depth > self.depth {
            return Err(too_complex(super::plan::TOO_DEEP, None));
        }
        for (key, fields) in self.fields_by_response_key(&sets)? {
            for together in self.group_by_object_type(&fields) {
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
                let below = selection_set_ids(&together);
                if !below.is_empty() && self.fields.insert(below.clone()) {
                    self.fields_in_set_can_merge(below, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Groups fields that can be on the same object: for each object type, its fields and those of all abstract types.
    fn group_by_object_type(&mut self, fields: &[&'a Field]) -> Vec<Vec<&'a Field>> {
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
    let message = format!("Fields \"{key}\" conflict because {why}. Use an alias for one of them.");
    invalid(message, field.pos)
}

/// The ids of the selection sets of some fields.
fn selection_set_ids(fields: &[&Field]) -> Vec<SelectionSetId> {
    let mut sets: Vec<SelectionSetId> = fields.iter().filter_map(|field| field.set).collect();
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

/// Whether two values are the same as written, except for the order of input fields.
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
