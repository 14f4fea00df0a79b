//! How much a document may ask for.

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
    /// `last`, 20 without) as often, a lookup's as often as it has `ids`, any other list's ten times.
    pub complexity: u64,
    /// The same for `__schema` and `__type`, where the lists of the schema count as they are. Tools ask for it whole,
    /// which costs some hundreds a type. 0 turns introspection off: it is INVALID_DOCUMENT then.
    pub introspection: u64,
    /// The values of variables, each as often as it is used, in bytes.
    pub variable_bytes: usize,
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
            variable_bytes: 4 << 20,
        }
    }
}

impl Limits {
    /// How many steps analysing one document may take. Documents within the other bounds need a fraction of it; one that is
    /// built to have many combinations of fragments does not.
    pub(super) fn steps(&self) -> usize {
        self.fields.saturating_mul(4)
    }
}
