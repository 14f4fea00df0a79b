//! Introspection that runs in circles.

use std::collections::HashSet;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet};

/// Lists that lead from a type to other types. Each step multiplies the answer by their length, and a few make it gigabytes.
const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];
/// How many of them may lie inside each other, as in graphql-js (`MaxIntrospectionDepthRule`); tools need one.
const MAX_NESTED: usize = 2;

/// Whether the operation asks for types of types of types.
pub(super) fn is_circular(operation: &OperationDefinition, document: &ExecutableDocument) -> bool {
    Search { document, seen: HashSet::new() }.finds(&operation.selection_set.node, None)
}

struct Search<'a> {
    document: &'a ExecutableDocument,
    /// Fragments, each by how many lists it was met inside of: nothing is looked through twice.
    seen: HashSet<(&'a str, Option<usize>)>,
}

impl<'a> Search<'a> {
    /// `nested` is none outside of introspection.
    fn finds(&mut self, selections: &'a SelectionSet, nested: Option<usize>) -> bool {
        selections.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => {
                let name = field.node.name.node.as_str();
                let nested = match nested {
                    None => (name == "__schema" || name == "__type").then_some(0),
                    Some(nested) => Some(nested + usize::from(LISTS.contains(&name))),
                };
                nested.is_some_and(|nested| nested > MAX_NESTED) || self.finds(&field.node.selection_set.node, nested)
            }
            Selection::InlineFragment(fragment) => self.finds(&fragment.node.selection_set.node, nested),
            Selection::FragmentSpread(spread) => {
                let name = spread.node.fragment_name.node.as_str();
                let document = self.document;
                document.fragments.get(name).is_some_and(|fragment| {
                    self.seen.insert((name, nested)) && self.finds(&fragment.node.selection_set.node, nested)
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn circular(text: &str) -> bool {
        let document = parse_query(text).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        is_circular(&operation.node, &document)
    }

    #[test]
    fn two_lists_may_lie_inside_each_other_and_not_three() {
        let nested = |n: usize| {
            let (open, close) = ("fields { type { ".repeat(n), "} } ".repeat(n));
            format!("{{ __schema {{ types {{ {open} name {close} }} }} }}")
        };
        assert!(!circular(&nested(2)));
        assert!(circular(&nested(3)));
        assert!(circular("{ __type(name: \"User\") { interfaces { possibleTypes { inputFields { name } } } } }"));
        assert!(!circular("{ node { fields { fields { fields { fields { id } } } } } }"), "fields of our own");
    }

    #[test]
    fn fragments_are_looked_through_and_cycles_end() {
        let text = "{ __schema { types { ...T } } } fragment T on __Type { fields { type { ...T } } }";
        assert!(circular(text));
        assert!(!circular("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A me { id } }"));
        let tools = "{ __schema { types { ...T } } } fragment R on __Type { name ofType { name ofType { name } } }
            fragment T on __Type { fields { args { type { ...R } } type { ...R } } inputFields { type { ...R } }
            interfaces { ...R } possibleTypes { ...R } }";
        assert!(!circular(tools));
    }
}
