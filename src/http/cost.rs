//! The cost of an operation for the rate limit.

use crate::graphql::budget::Usage;

/// Root fields that start a model reply.
const CHAT: [&str; 3] = ["sendMessage", "regenerateReply", "editMessage"];
/// Root fields that check a secret of an anonymous client or create an account. They count for the network, also for
/// signed-in users: otherwise an attacker would get more attempts with every account that they create.
const CREDENTIAL_FIELDS: [&str; 3] = ["login", "register", "resetPassword"];

/// Root fields that take more work than others, and the number of root fields that each counts as.
const EXPENSIVE: [(&str, u32); 1] = [("searchMessages", 3)];

/// The number of root fields of an operation. Each alias counts, so a hundred logins in one document count as a
/// hundred. A field that `@skip` excludes counts as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    /// All root fields.
    pub(super) fields: u32,
    /// Those that start a model reply.
    pub(super) chat: u32,
    /// Those in [`CREDENTIAL_FIELDS`].
    pub(super) credentials: u32,
}

impl Cost {
    /// The cost of a document that cannot be parsed.
    pub(super) const ONE: Self = Self { fields: 1, chat: 0, credentials: 0 };

    /// Converts the usage of an operation to root fields: 1 for an ordinary operation, some dozens for the largest.
    pub(super) fn of_usage(used: Usage) -> u32 {
        let values = used.nodes.saturating_add(used.introspection);
        let parts = values / 2_000 + used.bytes / (256 << 10) + used.statements / 10;
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    /// The cost of an operation with these root fields. An operation with `__typename` only, which clients use as a
    /// health check, is free.
    pub(super) fn of<'a>(root_fields: impl Iterator<Item = &'a str>) -> Self {
        let mut cost = Self::default();
        let mut is_sign_of_life = true;
        for name in root_fields {
            let weight = EXPENSIVE.iter().find(|(expensive, _)| *expensive == name).map_or(1, |(_, weight)| *weight);
            cost.fields = cost.fields.saturating_add(weight);
            cost.chat += u32::from(CHAT.contains(&name));
            cost.credentials += u32::from(CREDENTIAL_FIELDS.contains(&name));
            is_sign_of_life &= name == "__typename";
        }
        if is_sign_of_life && cost.fields <= 1 { Self::default() } else { cost }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Extensions, Variables};

    use super::*;
    use crate::graphql::document::{Documents, Limits};
    use crate::graphql::schema::sdl;

    fn cost(text: &str) -> (u32, u32, u32) {
        let limits = Limits { root_fields: 1_000, aliases: 1_000, ..Limits::default() };
        let documents = Documents::new(&sdl(), limits).unwrap();
        let document = documents.find(text, &Extensions::default()).unwrap();
        let operation = documents.operation(document, None, Variables::default()).unwrap();
        let Cost { fields, chat, credentials } = Cost::of(operation.root_fields());
        (fields, chat, credentials)
    }

    #[test]
    fn only_root_fields_count() {
        let logout = "logout { sessionId }";
        for (text, wanted) in [
            ("{ me { id username } }", (1, 0, 0)),
            ("{ a: me { id } b: me { id } c: models { id } }", (3, 0, 0)),
            ("{ ... on Query { a: me { id } ... { b: me { id } } } }", (2, 0, 0)),
            ("{ ...A ...A } fragment A on Query { me { id } ...B } fragment B on Query { models { id } }", (2, 0, 0)),
            ("{ me @skip(if: true) { id } }", (1, 0, 0)),
            ("{ me { id } searchMessages(query: \"a\") { nodes { snippet } } }", (4, 0, 0)),
            ("subscription { reply(messageId: \"msg_01h455vb4pex5vsknk084sn02q\") { position } }", (1, 0, 0)),
            (&format!("mutation {{ a: {logout} b: {logout} }}"), (2, 0, 0)),
            (
                "mutation { sendMessage(input: { content: \"a\" }) { reply { id } } \
              login(input: { login: \"a\", password: \"b\" }) { accessToken } }",
                (2, 1, 1),
            ),
        ] {
            assert_eq!(cost(text), wanted, "{text}");
        }
    }

    #[test]
    fn introspection_is_charged_like_other_values() {
        let used = Usage { nodes: 1_000, introspection: 11_007, ..Usage::default() };
        assert_eq!(Cost::of_usage(used), 6);
        assert_eq!(Cost::of_usage(Usage { nodes: 1_999, ..Usage::default() }), 0);
    }

    /// A renamed field would otherwise lose its limit.
    #[test]
    fn the_tables_name_root_fields_that_exist() {
        let sdl = sdl();
        for name in CHAT.iter().chain(&CREDENTIAL_FIELDS) {
            assert!(sdl.contains(&format!("\n\t{name}(")), "{name} is not a root field with arguments");
        }
    }

    #[test]
    fn one_typename_is_free_and_a_hundred_are_not() {
        assert_eq!(cost("{ __typename }").0, 0);
        assert_eq!(cost("{ __typename me { id } }").0, 2);
        assert_eq!(cost("{ __schema { types { name } } }").0, 1);
        assert_eq!(cost(&format!("{{ {} }}", "__typename ".repeat(500))).0, 500);
        let login = "login(input: { login: \"a\", password: \"b\" }) { accessToken }";
        let aliases: String = (0..100).map(|n| format!("a{n}: {login} ")).collect();
        assert_eq!(cost(&format!("mutation {{ {aliases} }}")), (100, 0, 100));
    }
}
