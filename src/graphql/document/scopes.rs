//! Checks across definitions: fragment cycles, and the variables of operations in the fragments that they use.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{Type, VariableDefinition};
use async_graphql::{Name, Pos};

use super::document::OperationDefinition;
use super::errors::{Refusals, too_complex};
use super::limits::Limits;
use super::values::is_variable_usage_allowed;

/// The fragments and variables that one definition uses.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) pos: Pos,
    pub(super) usages: Vec<VariableUsage>,
    /// The spread fragments, by index.
    pub(super) spreads: Vec<(usize, Pos)>,
    pub(super) condition_variables: Vec<Name>,
}

/// A use of a variable.
pub(super) struct VariableUsage {
    pub(super) name: Name,
    pub(super) pos: Pos,
    pub(super) wanted: Type,
    pub(super) has_default: bool,
}

/// Refuses fragment cycles (<https://spec.graphql.org/October2021/#sec-Fragment-spreads-must-not-form-cycles>) and
/// chains of fragments beyond the nesting limit, which bounds the recursion of later passes.
pub(super) fn check_nesting(fragments: &[Scope], limits: &Limits, refusals: &mut Refusals) {
    let mut heights = vec![None; fragments.len()];
    let mut path = Vec::new();
    for index in 0..fragments.len() {
        longest_chain(index, fragments, limits.nesting, &mut heights, &mut path, refusals);
    }
}

/// The length of the longest chain of fragments below a fragment. `None` in `heights` marks fragments that are not
/// visited yet.
fn longest_chain(
    index: usize,
    fragments: &[Scope],
    limit: usize,
    heights: &mut [Option<usize>],
    path: &mut Vec<usize>,
    refusals: &mut Refusals,
) -> usize {
    if let Some(height) = heights[index] {
        return height;
    }
    path.push(index);
    let mut highest = 0;
    for &(spread, pos) in &fragments[index].spreads {
        if path.contains(&spread) {
            refusals.invalid(format!("Fragment \"{}\" spreads itself.", fragments[spread].name), pos);
        } else if path.len() >= limit {
            refusals.push(*too_complex("Fragments are nested too deeply.", Some(pos)));
        } else {
            highest = highest.max(1 + longest_chain(spread, fragments, limit, heights, path, refusals));
        }
        if highest >= limit {
            refusals.push(*too_complex("Fragments are nested too deeply.", Some(pos)));
        }
    }
    path.pop();
    heights[index] = Some(highest);
    highest
}

/// Checks the variables of an operation in all fragments that it uses
/// (<https://spec.graphql.org/October2021/#sec-Validation.Variables>), and collects those in `@skip` and `@include`.
pub(super) fn check_variables(
    operation: &mut OperationDefinition,
    scope: &Scope,
    fragments: &[Scope],
    used: &mut HashSet<usize>,
    steps: &mut usize,
    refusals: &mut Refusals,
) {
    let mut unused: HashMap<Name, Pos> =
        operation.variables.iter().map(|variable| (variable.node.name.node.clone(), variable.pos)).collect();
    let definitions: HashMap<&Name, &VariableDefinition> =
        operation.variables.iter().map(|variable| (&variable.node.name.node, &variable.node)).collect();
    let mut reached = HashSet::new();
    let mut pending = vec![scope];
    while let Some(scope) = pending.pop() {
        *steps = steps.saturating_sub(1 + scope.usages.len() + scope.spreads.len());
        if *steps == 0 {
            refusals.push(*too_complex("The document has too many combinations of operations and fragments.", None));
            return;
        }
        for usage in &scope.usages {
            unused.remove(&usage.name);
            check_usage(usage, definitions.get(&usage.name).copied(), refusals);
        }
        for name in &scope.condition_variables {
            if !operation.condition_variables.contains(name) {
                operation.condition_variables.push(name.clone());
            }
        }
        pending.extend(
            scope.spreads.iter().filter(|(index, _)| reached.insert(*index)).map(|(index, _)| &fragments[*index]),
        );
    }
    used.extend(reached);
    let mut unused: Vec<_> = unused.into_iter().collect();
    unused.sort();
    for (name, pos) in unused {
        refusals.invalid(format!("Variable \"${name}\" is never used."), pos);
    }
}

fn check_usage(usage: &VariableUsage, definition: Option<&VariableDefinition>, refusals: &mut Refusals) {
    let Some(definition) = definition else {
        refusals.invalid(format!("Variable \"${}\" is not defined.", usage.name), usage.pos);
        return;
    };
    let default = definition.default_value.as_ref().map(|default| &default.node);
    let has_default = default.is_some_and(|default| *default != async_graphql::Value::Null);
    let ty = &definition.var_type.node;
    if !is_variable_usage_allowed(ty, has_default, &usage.wanted, usage.has_default) {
        let message = format!(
            "Variable \"${}\" of type \"{ty}\" cannot be used where \"{}\" is expected.",
            usage.name, usage.wanted
        );
        refusals.invalid(message, usage.pos);
    }
}
