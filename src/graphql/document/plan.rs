//! Plans the execution of an operation: expands its fragments, evaluates `@skip` and `@include`, and merges the fields
//! of each response key (<https://spec.graphql.org/October2021/#CollectFields()> and
//! <https://spec.graphql.org/October2021/#MergeSelectionSets()>).
//!
//! Each combination of selection sets and type is planned once and shared, so repeated fragments cost nothing here. The
//! size of the fully expanded operation is computed from the shared parts and limited.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::OperationType;
use async_graphql::{Name, Pos};

use super::document::{
    Condition, ConditionValue, Field, OperationDefinition, Selection, SelectionKind, SelectionSetId, SelectionSets,
};
use super::errors::{Refusal, invalid, too_complex};
use super::limits::Limits;
use super::types::{Types, inner_named_type};

pub(super) const TOO_DEEP: &str = "The query is nested too deeply.";

/// The execution plan of an operation.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: OperationType,
    pub(super) pos: Pos,
    pub(super) root: Arc<PlannedSelectionSet>,
}

/// The fields selected on a value of a composite type.
#[derive(Debug)]
pub(super) struct PlannedSelectionSet {
    pub(super) parent: Name,
    pub(super) fields: PlannedFields,
    /// Whether the server adds a `__typename` under a response key that no client can use. It shows the object type of
    /// a value, and that the object exists.
    pub(super) has_marker: bool,
    pub(super) size: Size,
}

#[derive(Debug)]
pub(super) enum PlannedFields {
    OfObject(Vec<PlannedField>),
    /// The fields of each possible object type of an abstract type; a type without fields is absent. Fields are never
    /// selected on an interface itself, because async-graphql then reports errors without their path.
    ByType(Vec<(Name, Vec<PlannedField>)>),
}

#[derive(Debug)]
pub(super) struct PlannedField {
    pub(super) field: Arc<Field>,
    pub(super) selection: Option<Arc<PlannedSelectionSet>>,
}

/// The size of a fully expanded selection set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) fields: usize,
    aliases: usize,
    depth: usize,
}

impl PlannedSelectionSet {
    /// The fields selected on an object of type `object`.
    pub(super) fn fields_of(&self, object: &str) -> &[PlannedField] {
        match &self.fields {
            PlannedFields::OfObject(fields) => fields,
            PlannedFields::ByType(types) => {
                types.iter().find(|(name, _)| name == object).map_or(&[], |(_, fields)| fields.as_slice())
            }
        }
    }
}

impl PlannedField {
    pub(super) fn key_and_name(&self) -> (&str, &str) {
        (self.field.key(), &self.field.name.node)
    }
}

/// Plans an operation. `condition_values` are the values of the variables in `@skip` and `@include`.
///
/// # Errors
/// The operation exceeds a limit, or it is a subscription without a root field.
pub(super) fn plan_operation(
    operation: &OperationDefinition,
    sets: &SelectionSets,
    types: &Types,
    limits: &Limits,
    condition_values: &HashMap<&Name, bool>,
) -> Result<Plan, Refusal> {
    let mut planner = Planner { sets, types, limits, condition_values, steps: limits.steps(), planned: HashMap::new() };
    let root = planner.selection_set(&operation.root, vec![operation.set], 1)?;
    let size = root.size;
    let roots = match &root.fields {
        PlannedFields::OfObject(fields) => fields.len(),
        PlannedFields::ByType(_) => 0,
    };
    if operation.kind == OperationType::Subscription && roots != 1 {
        return Err(invalid("A subscription must have exactly one root field.", operation.pos));
    }
    let problem = if size.depth > limits.depth {
        TOO_DEEP
    } else if roots > limits.root_fields {
        "The query has too many root fields."
    } else if size.aliases > limits.aliases {
        "The query has too many aliases."
    } else if size.fields > limits.fields
        || (operation.kind == OperationType::Subscription && size.fields > limits.subscription_fields)
    {
        "The query has too many fields."
    } else {
        return Ok(Plan { kind: operation.kind, pos: operation.pos, root });
    };
    Err(too_complex(problem, Some(operation.pos)))
}

/// A merged field and the selection sets of the fields it is merged from, by response key.
type CollectedFields = IndexMap<Name, (Arc<Field>, Vec<SelectionSetId>)>;

struct Planner<'a> {
    sets: &'a SelectionSets,
    types: &'a Types,
    limits: &'a Limits,
    condition_values: &'a HashMap<&'a Name, bool>,
    steps: usize,
    planned: HashMap<(Name, Vec<SelectionSetId>), Arc<PlannedSelectionSet>>,
}

impl Planner<'_> {
    fn selection_set(
        &mut self,
        parent: &Name,
        sets: Vec<SelectionSetId>,
        depth: usize,
    ) -> Result<Arc<PlannedSelectionSet>, Refusal> {
        if depth > self.limits.depth {
            return Err(too_complex(TOO_DEEP, None));
        }
        let key = (parent.clone(), sets);
        if let Some(planned) = self.planned.get(&key) {
            return Ok(planned.clone());
        }
        let sets = &key.1;
        let is_object = self.types.is_object(parent);
        let mut size = Size::default();
        let fields = if is_object {
            let collected = self.collect_fields(sets, parent)?;
            PlannedFields::OfObject(self.fields(parent, collected, depth, &mut size)?)
        } else {
            let mut by_type = Vec::new();
            for object in self.types.possible_types(parent) {
                let collected = self.collect_fields(sets, object)?;
                if !collected.is_empty() {
                    let mut own = Size::default();
                    let fields = self.fields(object, collected, depth, &mut own)?;
                    size.fields = size.fields.saturating_add(own.fields);
                    size.aliases = size.aliases.max(own.aliases);
                    size.depth = size.depth.max(own.depth);
                    by_type.push((object.clone(), fields));
                }
            }
            PlannedFields::ByType(by_type)
        };
        let is_empty = matches!(&fields, PlannedFields::OfObject(fields) if fields.is_empty());
        let has_marker = !is_object || is_empty;
        let selection = Arc::new(PlannedSelectionSet { parent: parent.clone(), fields, has_marker, size });
        self.planned.insert(key, selection.clone());
        Ok(selection)
    }

    /// Collects the fields of selection sets on an object type
    /// (<https://spec.graphql.org/October2021/#CollectFields()>).
    fn collect_fields(&mut self, sets: &[SelectionSetId], object: &Name) -> Result<CollectedFields, Refusal> {
        let mut collected = CollectedFields::new();
        let mut seen = HashSet::new();
        for set in sets {
            self.collect_selection_set(*set, object, &mut seen, &mut collected)?;
        }
        Ok(collected)
    }

    /// The recursion is limited by the nesting of brackets and fragments.
    fn collect_selection_set(
        &mut self,
        set: SelectionSetId,
        object: &Name,
        seen: &mut HashSet<SelectionSetId>,
        collected: &mut CollectedFields,
    ) -> Result<(), Refusal> {
        if !seen.insert(set) {
            return Ok(());
        }
        let sets = self.sets;
        for Selection { conditions, kind } in &sets[set].selections {
            self.step()?;
            if !conditions.iter().all(|condition| self.is_included_by(condition)) {
                continue;
            }
            match kind {
                SelectionKind::Field(field) => {
                    let entry = collected.entry(field.key().clone()).or_insert_with(|| (field.clone(), Vec::new()));
                    entry.1.extend(field.set);
                }
                SelectionKind::Fragment { on, set } => {
                    let is_of = |on: &Name| self.types.possible_types(on).binary_search(object).is_ok();
                    if on.as_ref().is_none_or(is_of) {
                        self.collect_selection_set(*set, object, seen, collected)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_included_by(&self, condition: &Condition) -> bool {
        let value = match &condition.value {
            ConditionValue::Constant(value) => *value,
            // Every such variable has a value.
            ConditionValue::Variable(name) => self.condition_values.get(name).copied().unwrap_or(!condition.wanted),
        };
        value == condition.wanted
    }

    fn fields(
        &mut self,
        parent: &Name,
        collected: CollectedFields,
        depth: usize,
        size: &mut Size,
    ) -> Result<Vec<PlannedField>, Refusal> {
        let mut fields = Vec::with_capacity(collected.len());
        let mut below = 0;
        for (field, sets) in collected.into_values() {
            let is_alias = field.alias.is_some() && field.name.node != "__typename";
            size.fields = size.fields.saturating_add(1);
            size.aliases = size.aliases.saturating_add(usize::from(is_alias));
            // The field of an object type may have a narrower type than the field of the interface through which it is
            // selected.
            let ty = self.types.field(parent, &field.name.node).map_or(&field.ty, |output| &output.ty);
            let selection =
                if sets.is_empty() { None } else { Some(self.selection_set(inner_named_type(ty), sets, depth + 1)?) };
            if let Some(selection) = &selection {
                size.fields = size.fields.saturating_add(selection.size.fields);
                size.aliases = size.aliases.saturating_add(selection.size.aliases);
                below = below.max(selection.size.depth);
            }
            fields.push(PlannedField { field, selection });
        }
        size.depth = below + 1;
        Ok(fields)
    }

    fn step(&mut self) -> Result<(), Refusal> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| too_complex("The query has too many fields.", None))?;
        Ok(())
    }
}
