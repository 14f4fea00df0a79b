//! How much a document may ask for.

use crate::graphql::budget::{Budget, Usage};

/// The bounds of a document. What goes beyond one is refused with QUERY_TOO_COMPLEX before any resolver runs.
///
/// All but the first three count what is left after fragments are expanded, fields are merged and `@skip` and `@include` are
/// decided: a fragment that is spread twice in one place costs once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The length of the text, in bytes. GraphiQL's introspection has 2 KiB, a large screen of an application 20 KiB.
    pub bytes: usize,
    /// Names, numbers, strings and punctuators.
    pub tokens: usize,
    /// Brackets of any kind inside each other, and fragments that spread each other.
    pub nesting: usize,
    /// Fields inside each other. Introspection as tools ask it needs 14.
    pub depth: usize,
    /// Fields that are asked under another name. `__typename` is free: Relay asks for it once a fragment.
    pub aliases: usize,
    /// Fields of the query or mutation itself. A subscription has one, as the specification says.
    pub root_fields: usize,
    /// Fields of all levels; those of a fragment on an interface count for each type that it may be.
    pub fields: usize,
    /// The sum of all fields' costs: a field costs 1 and what it contains, a connection's content its page (`first` or
    /// `last`, 20 without) as often, a lookup's as often as it has `ids`, any other list's as often as it is long at most.
    pub complexity: u64,
    /// The same for `__schema` and `__type`, where the lists of the schema count as they are. Tools ask for it whole,
    /// which costs some hundreds a type. 0 turns introspection off: it is INVALID_DOCUMENT then.
    pub introspection: u64,
    /// The values of arguments, as they are once fragments are expanded and variables are replaced, in bytes.
    pub argument_bytes: usize,
    /// The same for a subscription, which holds them as long as it lasts.
    pub subscription_bytes: usize,
    /// Fields of all levels of a subscription, which holds them, too.
    pub subscription_fields: usize,
    /// Bytes of rows that are read and of texts and keys that are answered; see [`Budget`].
    pub answer_bytes: u64,
    /// Statements of the database; see [`Budget`].
    pub statements: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 128 << 10,
            tokens: 10_000,
            nesting: 64,
            depth: 20,
            aliases: 100,
            root_fields: 20,
            fields: 5_000,
            complexity: 20_000,
            introspection: 1_000_000,
            argument_bytes: 4 << 20,
            subscription_bytes: 16 << 10,
            subscription_fields: 500,
            answer_bytes: 8 << 20,
            statements: 200,
        }
    }
}

impl Limits {
    /// What one request may use. The values of an answer are as many as the estimate of a document may be.
    pub fn budget(&self) -> Budget {
        Budget::new(Usage { nodes: self.complexity, bytes: self.answer_bytes, statements: self.statements })
    }

    /// How many steps analysing one document may take. Documents within the other bounds need a fraction of it; one that is
    /// built to have many combinations of fragments does not.
    pub(super) fn steps(&self) -> usize {
        self.fields.saturating_mul(4)
    }
}
