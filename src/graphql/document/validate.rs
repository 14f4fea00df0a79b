//! Validates a parsed document against the schema: every rule of <https://spec.graphql.org/October2021/#sec-Validation>
//! that does not depend on variable values. Each definition is visited once, so the cost is linear in the length of the
//! text. `overlap` checks that fields can be merged.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_graphql::parser::types::{self as ast, BaseType, OperationType, Type, VariableDefinition};
use async_graphql::parser::{Pos, Positioned};
use async_graphql::{Name, ServerError};
use async_graphql_value::Value;

use super::document::{
    Condition, ConditionValue, Document, Field, OperationDefinition, Selection, SelectionKind, SelectionSet,
    SelectionSetId, SelectionSets,
};
use super::errors::Refusals;
use super::limits::Limits;
use super::overlap;
use super::parser::Source;
use super::persisted::DocumentHash;
use super::scopes::{Scope, VariableUsage, check_nesting, check_variables};
use super::types::{InputValue, Types, inner_named_type};
use super::values;

/// # Errors
/// The first errors that are found.
pub(super) fn validate(
    source: Source,
    hash: DocumentHash,
    types: &Types,
    limits: &Limits,
) -> Result<Document, Vec<ServerError>> {
    let weight = source.bytes + source.tokens.saturating_mul(TOKEN_WEIGHT);
    let mut validation = Validation::new(types, &source);
    let fragments: Vec<Scope> =
        source.fragments.iter().enumerate().map(|(index, fragment)| validation.fragment(index, fragment)).collect();
    let mut operations = Vec::new();
    for (name, operation) in source.operations {
        operations.push(validation.operation(name, operation));
    }
    let Validation { sets, mut refusals, .. } = validation;
    check_nesting(&fragments, limits, &mut refusals);
    if refusals.is_empty() {
        let mut steps = limits.steps();
        let mut used = HashSet::new();
        for (operation, scope) in &mut operations {
            check_variables(operation, scope, &fragments, &mut used, &mut steps, &mut refusals);
        }
        for (index, fragment) in fragments.iter().enumerate() {
            if !used.contains(&index) {
                refusals.invalid(format!("Fragment \"{}\" is never used.", fragment.name), fragment.pos);
            }
        }
    }
    let operations: Vec<OperationDefinition> = operations.into_iter().map(|(operation, _)| operation).collect();
    if refusals.is_empty() {
        check_subscriptions(&operations, &sets, &mut refusals);
        overlap::check(&operations, &sets, types, limits, &mut refusals);
    }
    refusals.finish()?;
    let is_cached = AtomicBool::new(false);
    Ok(Document { serial: Document::next_serial(), hash, is_cached, operations, sets, weight })
}

/// Whether a subscription has its root field must not depend on variables
/// (<https://spec.graphql.org/September2025/#sec-Single-Root-Field>).
fn check_subscriptions(operations: &[OperationDefinition], sets: &SelectionSets, refusals: &mut Refusals) {
    let subscriptions = operations.iter().filter(|operation| operation.kind == OperationType::Subscription);
    for operation in subscriptions {
        if sets.with_fragments(operation.set).flatten().any(|selected| !selected.conditions.is_empty()) {
            let message = "\"@skip\" and \"@include\" are not allowed at the root of a subscription.";
            refusals.invalid(message, operation.pos);
        }
    }
}

/// The approximate memory of a parsed token in addition to its text, in bytes.
const TOKEN_WEIGHT: usize = 160;

struct Validation<'a> {
    types: &'a Types,
    /// The index of each fragment, which is also the index of its selection set, and its type condition, by name.
    fragments: HashMap<Name, (usize, Name)>,
    sets: SelectionSets,
    scope: Scope,
    refusals: Refusals,
}

impl<'a> Validation<'a> {
    fn new(types: &'a Types, source: &Source) -> Self {
        let mut refusals = Refusals::default();
        let mut fragments = HashMap::new();
        for (index, (name, fragment)) in source.fragments.iter().enumerate() {
            let on = fragment.node.type_condition.node.on.node.clone();
            if fragments.insert(name.clone(), (index, on)).is_some() {
                refusals.invalid(format!("There can be only one fragment named \"{name}\"."), fragment.pos);
            }
        }
        let mut names = HashSet::new();
        for (name, operation) in &source.operations {
            match name {
                Some(name) if !names.insert(name) => {
                    refusals.invalid(format!("There can be only one operation named \"{name}\"."), operation.pos);
                }
                None if source.operations.len() > 1 => {
                    refusals.invalid("An operation without a name must be the only one.", operation.pos);
                }
                _ => {}
            }
        }
        if source.operations.is_empty() {
            refusals.invalid("The document has no operation.", Pos { line: 1, column: 1 });
        }
        let sets = SelectionSets(source.fragments.iter().map(|_| SelectionSet::default()).collect());
        Self { types, fragments, sets, scope: Scope::default(), refusals }
    }

    fn fragment(&mut self, index: usize, (name, fragment): &(Name, Positioned<ast::FragmentDefinition>)) -> Scope {
        self.scope = Scope { name: name.to_string(), pos: fragment.pos, ..Scope::default() };
        self.directives(&fragment.node.directives, false);
        let on = &fragment.node.type_condition.node.on;
        if self.composite(on) {
            let set = self.set(&fragment.node.selection_set.node, &on.node);
            self.sets.0[index] = set;
        }
        std::mem::take(&mut self.scope)
    }

    fn operation(
        &mut self,
        name: Option<Name>,
        operation: Positioned<ast::OperationDefinition>,
    ) -> (OperationDefinition, Scope) {
        let pos = operation.pos;
        let operation = operation.node;
        self.scope = Scope { name: name.as_deref().unwrap_or_default().to_owned(), pos, ..Scope::default() };
        self.directives(&operation.directives, false);
        self.variable_definitions(&operation.variable_definitions);
        let root = self.types.root(operation.ty).cloned();
        let set = match &root {
            Some(root) => self.set(&operation.selection_set.node, root),
            None => {
                self.refusals.invalid(format!("The schema has no {}s.", operation.ty), pos);
                SelectionSet::default()
            }
        };
        let operation = OperationDefinition {
            name,
            kind: operation.ty,
            pos,
            variables: operation.variable_definitions,
            root: root.unwrap_or_else(|| Name::new("")),
            set: self.keep(set),
            condition_variables: Vec::new(),
        };
        (operation, std::mem::take(&mut self.scope))
    }

    fn keep(&mut self, set: SelectionSet) -> SelectionSetId {
        self.sets.0.push(set);
        SelectionSetId(self.sets.0.len() - 1)
    }

    fn variable_definitions(&mut self, definitions: &[Positioned<VariableDefinition>]) {
        let mut names = HashSet::new();
        for definition in definitions {
            let (pos, definition) = (definition.pos, &definition.node);
            let name = &definition.name.node;
            if !names.insert(name) {
                self.refusals.invalid(format!("There can be only one variable named \"${name}\"."), pos);
            }
            self.directives(&definition.directives, false);
            let ty = &definition.var_type.node;
            if !self.types.is_input(inner_named_type(ty)) {
                let message = match self.types.get(inner_named_type(ty)) {
                    Some(_) => format!("Variable \"${name}\" cannot be of the output type \"{ty}\"."),
                    None => format!("Unknown type \"{}\".", inner_named_type(ty)),
                };
                self.refusals.invalid(message, definition.var_type.pos);
            } else if let Some(default) = &definition.default_value {
                let literal = default.node.clone().into_value();
                if let Err(error) = values::check_literal(self.types, &literal, ty, false, &mut |_, _, _| {}) {
                    let message = error.describe(&format!("The default of variable \"${name}\""));
                    self.refusals.invalid(message, default.pos);
                }
            }
        }
    }

    /// Checks that a type condition is on a composite type.
    fn composite(&mut self, on: &Positioned<Name>) -> bool {
        let is_composite = self.types.is_composite(&on.node);
        if !is_composite {
            let message = match self.types.get(&on.node) {
                Some(_) => format!("A fragment cannot be on \"{}\", which has no fields.", on.node),
                None => format!("Unknown type \"{}\".", on.node),
            };
            self.refusals.invalid(message, on.pos);
        }
        is_composite
    }

    fn set(&mut self, set: &ast::SelectionSet, parent: &Name) -> SelectionSet {
        let mut selections = Vec::with_capacity(set.items.len());
        for item in &set.items {
            let conditions = self.directives(item.node.directives(), true);
            let kind = match &item.node {
                ast::Selection::Field(field) => self.field(field, parent),
                ast::Selection::FragmentSpread(spread) => self.spread(spread, parent),
                ast::Selection::InlineFragment(fragment) => self.inline(fragment, parent),
            };
            selections.extend(kind.map(|kind| Selection { conditions, kind }));
        }
        SelectionSet { selections }
    }

    fn spread(&mut self, spread: &Positioned<ast::FragmentSpread>, parent: &Name) -> Option<SelectionKind> {
        let name = &spread.node.fragment_name;
        let Some((index, on)) = self.fragments.get(&name.node).cloned() else {
            self.refusals.invalid(format!("Unknown fragment \"{}\".", name.node), name.pos);
            return None;
        };
        if self.types.is_composite(&on) && !self.types.can_overlap(&on, parent) {
            let message = format!("Fragment \"{}\" on \"{on}\" can never be inside \"{parent}\".", name.node);
            self.refusals.invalid(message, spread.pos);
        }
        self.scope.spreads.push((index, spread.pos));
        Some(SelectionKind::Fragment { on: Some(on), set: SelectionSetId(index) })
    }

    fn inline(&mut self, fragment: &Positioned<ast::InlineFragment>, parent: &Name) -> Option<SelectionKind> {
        let on = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on);
        if let Some(on) = on {
            if !self.composite(on) {
                return None;
            }
            if !self.types.can_overlap(&on.node, parent) {
                let message = format!("A fragment on \"{}\" can never be inside \"{parent}\".", on.node);
                self.refusals.invalid(message, fragment.pos);
            }
        }
        let on = on.map(|on| on.node.clone());
        let set = self.set(&fragment.node.selection_set.node, on.as_ref().unwrap_or(parent));
        Some(SelectionKind::Fragment { on, set: self.keep(set) })
    }

    fn field(&mut self, field: &Positioned<ast::Field>, parent: &Name) -> Option<SelectionKind> {
        let (pos, field) = (field.pos, &field.node);
        let Some(output) = self.types.field(parent, &field.name.node) else {
            self.refusals.invalid(format!("Unknown field \"{}\" on type \"{parent}\".", field.name.node), pos);
            return None;
        };
        self.arguments(&field.arguments, &output.arguments, &format!("field \"{}\"", field.name.node), pos);
        let asked = &field.selection_set.node;
        let name = inner_named_type(&output.ty);
        let set = match (self.types.is_composite(name), asked.items.is_empty()) {
            (true, false) => {
                let set = self.set(asked, name);
                Some(self.keep(set))
            }
            (false, true) => None,
            (true, true) => {
                let message = format!(
                    "Field \"{}\" of type \"{}\" must have a selection of subfields.",
                    field.name.node, output.ty
                );
                self.refusals.invalid(message, pos);
                None
            }
            (false, false) => {
                let message = format!("Field \"{}\" of type \"{}\" has no subfields.", field.name.node, output.ty);
                self.refusals.invalid(message, field.selection_set.pos);
                None
            }
        };
        Some(SelectionKind::Field(Arc::new(Field {
            pos,
            parent: parent.clone(),
            alias: field.alias.clone(),
            name: field.name.clone(),
            arguments: field.arguments.clone(),
            ty: output.ty.clone(),
            set,
        })))
    }

    fn arguments(
        &mut self,
        given: &[(Positioned<Name>, Positioned<Value>)],
        known: &HashMap<Name, InputValue>,
        owner: &str,
        pos: Pos,
    ) {
        let mut names = HashSet::new();
        for (name, value) in given {
            if !names.insert(&name.node) {
                self.refusals.invalid(format!("There can be only one argument named \"{}\".", name.node), name.pos);
            }
            let Some(input) = known.get(&name.node) else {
                self.refusals.invalid(format!("Unknown argument \"{}\" on {owner}.", name.node), name.pos);
                continue;
            };
            let usages = &mut self.scope.usages;
            let mut variable = |name: &Name, wanted, has_default| {
                usages.push(VariableUsage { name: name.clone(), pos: value.pos, wanted, has_default });
            };
            if let Err(error) =
                values::check_literal(self.types, &value.node, &input.ty, input.has_default, &mut variable)
            {
                let message = error.describe(&format!("Argument \"{}\" of {owner}", name.node));
                self.refusals.invalid(message, name.pos);
            }
        }
        let mut missing: Vec<&Name> = known
            .iter()
            .filter(|(name, input)| input.is_required() && !names.contains(name))
            .map(|(name, _)| name)
            .collect();
        missing.sort();
        for name in missing {
            self.refusals.invalid(format!("Argument \"{name}\" of {owner} is required."), pos);
        }
    }

    /// The conditions of a selection's `@skip` and `@include`. No other directives are supported in documents.
    fn directives(&mut self, directives: &[Positioned<ast::Directive>], is_selection: bool) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for directive in directives {
            let (pos, directive) = (directive.pos, &directive.node);
            let name = directive.name.node.as_str();
            let wanted = match name {
                "include" => true,
                "skip" => false,
                _ => {
                    self.refusals.invalid(format!("Unknown directive \"@{name}\"."), pos);
                    continue;
                }
            };
            if !is_selection {
                self.refusals.invalid(format!("Directive \"@{name}\" is not allowed here."), pos);
                continue;
            }
            if conditions.iter().any(|condition: &Condition| condition.wanted == wanted) {
                self.refusals.invalid(format!("Directive \"@{name}\" is allowed only once here."), pos);
            }
            let ty = Type { base: BaseType::Named(Name::new("Boolean")), nullable: false };
            let known = HashMap::from([(Name::new("if"), InputValue { ty, has_default: false })]);
            self.arguments(&directive.arguments, &known, &format!("directive \"@{name}\""), pos);
            let value = match directive.get_argument("if").map(|value| &value.node) {
                Some(Value::Variable(name)) => {
                    self.scope.condition_variables.push(name.clone());
                    ConditionValue::Variable(name.clone())
                }
                Some(Value::Boolean(value)) => ConditionValue::Constant(*value),
                // Already refused above.
                _ => continue,
            };
            conditions.push(Condition { wanted, value });
        }
        conditions
    }
}
