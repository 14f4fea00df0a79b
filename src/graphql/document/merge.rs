//! What an operation asks for, field by field: fragments expanded, `@skip` and `@include` decided, fields of one response key
//! made one (GraphQL specification, 6.3.2 `CollectFields` and 6.4.3 `MergeSelectionSets`).
//!
//! What is asked of the same selection sets for the same type is computed once and shared, so doubled fragments cost nothing
//! here; how large the whole would be, written out, is counted and bounded on the way up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::OperationType;
use async_graphql::{Name, Pos};

use super::document::{Condition, Field, Operation, Selected, SetId, Sets, Switch, What};
use super::errors::{Refusal, invalid, too_complex};
use super::limits::Limits;
use super::types::{Types, named};

pub(super) const TOO_DEEP: &str = "The query is nested too deep.";

/// An operation as it is executed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: OperationType,
    pub(super) pos: Pos,
    pub(super) root: Arc<Selection>,
}

/// What is asked of a value of a composite type.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) parent: Name,
    pub(super) fields: Fields,
    /// Whether the name of the type is asked for on our own account, under a key that no client can write: the only way to
    /// know what an object is, or that it is there at all.
    pub(super) is_marked: bool,
    pub(super) size: Size,
}

#[derive(Debug)]
pub(super) enum Fields {
    OfObject(Vec<Planned>),
    /// Of each object type that an abstract type may be; nothing of those that are not here. Fields are never asked of an
    /// interface itself, where async-graphql tells errors without their path.
    ByType(Vec<(Name, Vec<Planned>)>),
}

#[derive(Debug)]
pub(super) struct Planned {
    pub(super) field: Arc<Field>,
    pub(super) selection: Option<Arc<Selection>>,
}

/// How large a selection is, written out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) fields: usize,
    aliases: usize,
    depth: usize,
}

impl Selection {
    /// What is asked of an object of a type.
    pub(super) fn of(&self, object: &str) -> &[Planned] {
        match &self.fields {
            Fields::OfObject(fields) => fields,
            Fields::ByType(types) => {
                types.iter().find(|(name, _)| name == object).map_or(&[], |(_, fields)| fields.as_slice())
            }
        }
    }
}

/// Expands an operation. `switches` are the values of its switches.
///
/// # Errors
/// It is beyond the limits, or it is a subscription of which nothing is left.
pub(super) fn merge(
    operation: &Operation,
    sets: &Sets,
    types: &Types,
    limits: &Limits,
    switches: &HashMap<&Name, bool>,
) -> Result<Plan, Refusal> {
    let mut merge = Merge { sets, types, limits, switches, steps: limits.steps(), done: HashMap::new() };
    let root = merge.selection(&operation.root, vec![operation.set], 1)?;
    let size = root.size;
    let roots = match &root.fields {
        Fields::OfObject(fields) => fields.len(),
        Fields::ByType(_) => 0,
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

/// One field of the result, and the selection sets that it brings together.
type Collected = IndexMap<Name, (Arc<Field>, Vec<SetId>)>;

struct Merge<'a> {
    sets: &'a Sets,
    types: &'a Types,
    limits: &'a Limits,
    switches: &'a HashMap<&'a Name, bool>,
    steps: usize,
    done: HashMap<(Name, Vec<SetId>), Arc<Selection>>,
}

impl Merge<'_> {
    fn selection(&mut self, parent: &Name, sets: Vec<SetId>, depth: usize) -> Result<Arc<Selection>, Refusal> {
        if depth > self.limits.depth {
            return Err(too_complex(TOO_DEEP, None));
        }
        let key = (parent.clone(), sets);
        if let Some(done) = self.done.get(&key) {
            return Ok(done.clone());
        }
        let sets = &key.1;
        let is_object = self.types.is_object(parent);
        let mut size = Size::default();
        let fields = if is_object {
            let collected = self.collect(sets, parent)?;
            Fields::OfObject(self.fields(parent, collected, depth, &mut size)?)
        } else {
            let mut by_type = Vec::new();
            for object in self.types.possible(parent) {
                let collected = self.collect(sets, object)?;
                if !collected.is_empty() {
                    let mut own = Size::default();
                    let fields = self.fields(object, collected, depth, &mut own)?;
                    size.fields = size.fields.saturating_add(own.fields);
                    size.aliases = size.aliases.max(own.aliases);
                    size.depth = size.depth.max(own.depth);
                    by_type.push((object.clone(), fields));
                }
            }
            Fields::ByType(by_type)
        };
        let is_empty = matches!(&fields, Fields::OfObject(fields) if fields.is_empty());
        let is_marked = !is_object || is_empty;
        let selection = Arc::new(Selection { parent: parent.clone(), fields, is_marked, size });
        self.done.insert(key, selection.clone());
        Ok(selection)
    }

    /// `CollectFields` for an object type.
    fn collect(&mut self, sets: &[SetId], object: &Name) -> Result<Collected, Refusal> {
        let mut collected = Collected::new();
        let mut seen = HashSet::new();
        for set in sets {
            self.collect_set(*set, object, &mut seen, &mut collected)?;
        }
        Ok(collected)
    }

    /// Recursion is bounded by the brackets and the fragments that may be nested.
    fn collect_set(
        &mut self,
        set: SetId,
        object: &Name,
        seen: &mut HashSet<SetId>,
        collected: &mut Collected,
    ) -> Result<(), Refusal> {
        if !seen.insert(set) {
            return Ok(());
        }
        let sets = self.sets;
        for Selected { conditions, what } in &sets[set].selections {
            self.step()?;
            if !conditions.iter().all(|condition| self.lets_in(condition)) {
                continue;
            }
            match what {
                What::Field(field) => {
                    let entry = collected.entry(field.key().clone()).or_insert_with(|| (field.clone(), Vec::new()));
                    entry.1.extend(field.set);
                }
                What::Fragment { on, set } => {
                    let is_of = |on: &Name| self.types.possible(on).binary_search(object).is_ok();
                    if on.as_ref().is_none_or(is_of) {
                        self.collect_set(*set, object, seen, collected)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn lets_in(&self, condition: &Condition) -> bool {
        let value = match &condition.value {
            Switch::Constant(value) => *value,
            // Every switch of the operation has a value.
            Switch::Variable(name) => self.switches.get(name).copied().unwrap_or(!condition.wanted),
        };
        value == condition.wanted
    }

    fn fields(
        &mut self,
        parent: &Name,
        collected: Collected,
        depth: usize,
        size: &mut Size,
    ) -> Result<Vec<Planned>, Refusal> {
        let mut fields = Vec::with_capacity(collected.len());
        let mut below = 0;
        for (field, sets) in collected.into_values() {
            let is_named_anew = field.alias.is_some() && field.name.node != "__typename";
            size.fields = size.fields.saturating_add(1);
            size.aliases = size.aliases.saturating_add(usize::from(is_named_anew));
            // An object's field may be of a narrower type than that of its interface, by which it was asked for.
            let ty = self.types.field(parent, &field.name.node).map_or(&field.ty, |output| &output.ty);
            let selection = if sets.is_empty() { None } else { Some(self.selection(named(ty), sets, depth + 1)?) };
            if let Some(selection) = &selection {
                size.fields = size.fields.saturating_add(selection.size.fields);
                size.aliases = size.aliases.saturating_add(selection.size.aliases);
                below = below.max(selection.size.depth);
            }
            fields.push(Planned { field, selection });
        }
        size.depth = below + 1;
        Ok(fields)
    }

    fn step(&mut self) -> Result<(), Refusal> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| too_complex("The query has too many fields.", None))?;
        Ok(())
    }
}
