//! What an operation counts for.

use std::collections::HashSet;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet};

/// Root fields that set a model to work.
const CHAT: [&str; 3] = ["sendMessage", "regenerateReply", "editMessage"];
/// Root fields that take a secret from who is not signed in, or make an account. They count for the network whoever asks, or
/// every account that an attacker makes would bring them tries of its own.
const ENTRANCES: [&str; 4] = ["login", "register", "resetPassword", "refreshSession"];

/// How many root fields an operation asks for: each alias of one is one, so that a hundred sign-ins in one document are a
/// hundred sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    /// All of them.
    pub(super) fields: u32,
    /// Of these, those that set a model to work.
    pub(super) chat: u32,
    /// Of these, those through which one gets in.
    pub(super) entrances: u32,
}

impl Cost {
    /// Of a document that could not be read.
    pub(super) const ONE: Self = Self { fields: 1, chat: 0, entrances: 0 };

    /// Directives are not looked at: a field that may be skipped counts. `__typename` alone, with which clients see whether the
    /// server is there, is free.
    pub(super) fn of(operation: &OperationDefinition, document: &ExecutableDocument) -> Self {
        let mut count = Count { document, seen: HashSet::new(), cost: Self::default(), typenames: 0 };
        count.add(&operation.selection_set.node);
        let Count { cost, typenames, .. } = count;
        if cost.fields == 1 && typenames == 1 { Self::default() } else { cost }
    }
}

struct Count<'a> {
    document: &'a ExecutableDocument,
    /// Each fragment counts once: spread again, its fields merge with what is there. Also the end of every cycle.
    seen: HashSet<&'a str>,
    cost: Cost,
    typenames: u32,
}

impl<'a> Count<'a> {
    /// The parser bounds how deep inline fragments nest, and `seen` how deep the others do.
    fn add(&mut self, selections: &'a SelectionSet) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    self.cost.fields = self.cost.fields.saturating_add(1);
                    self.cost.chat += u32::from(CHAT.contains(&name));
                    self.cost.entrances += u32::from(ENTRANCES.contains(&name));
                    self.typenames += u32::from(name == "__typename");
                }
                Selection::InlineFragment(fragment) => self.add(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.seen.insert(name)
                    {
                        self.add(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn cost(text: &str) -> (u32, u32, u32) {
        let document = parse_query(text).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let Cost { fields, chat, entrances } = Cost::of(&operation.node, &document);
        (fields, chat, entrances)
    }

    #[test]
    fn every_root_field_counts_and_nothing_below() {
        for (text, wanted) in [
            ("{ me { id username } }", (1, 0, 0)),
            ("{ a: me { id } b: me { id } c: models { id } }", (3, 0, 0)),
            ("mutation { sendMessage { reply { id } } login { accessToken } }", (2, 1, 1)),
            ("mutation { a: regenerateReply { x } b: editMessage { x } stopReply { x } }", (3, 2, 0)),
            ("mutation { a: register { x } b: resetPassword { x } c: refreshSession { x } }", (3, 0, 3)),
            ("{ ... on Query { a: me { id } ... { b: me { id } } } }", (2, 0, 0)),
            (
                "{ ...A ...A } fragment A on Query { me { id } ...B } fragment B on Query { models { id } ...A }",
                (2, 0, 0),
            ),
            ("{ me @skip(if: true) { id } ...Unknown }", (1, 0, 0)),
            ("subscription { reply(messageId: 1) { position } }", (1, 0, 0)),
        ] {
            assert_eq!(cost(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_sign_of_life_is_free_and_a_hundred_are_not() {
        assert_eq!(cost("{ __typename }").0, 0);
        assert_eq!(cost("{ __typename me { id } }").0, 2);
        assert_eq!(cost("{ __schema { types { name } } }").0, 1);
        assert_eq!(cost(&format!("{{ {} }}", "__typename ".repeat(500))).0, 500);
        let aliases: String = (0..100).map(|n| format!("a{n}: login(input: {{}}) {{ accessToken }} ")).collect();
        assert_eq!(cost(&format!("mutation {{ {aliases} }}")), (100, 0, 100));
    }

    #[test]
    fn doubled_fragments_cost_no_time() {
        let fragments: String =
            (0..60).map(|n| format!("fragment F{n} on Query {{ ...F{0} ...F{0} }} ", n + 1)).collect();
        let text = format!("{{ ...F0 }} {fragments} fragment F60 on Query {{ me {{ id }} }}");
        assert_eq!(cost(&text), (1, 0, 0));
    }
}
