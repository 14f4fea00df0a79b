//! The limits of a document.

use crate::graphql::budget::{Budget, Usage};

/// The limits of a document. A document that exceeds one is refused with QUERY_TOO_COMPLEX before any resolver runs.
///
/// All but the first three apply after fragments are expanded, fields are merged, and `@skip` and `@include` are
/// evaluated: a fragment that is spread twice in one selection set counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text, in bytes. GraphiQL's introspection query has 2 KiB, a large screen of an application 20 KiB.
    pub bytes: usize,
    /// Number of tokens: names, numbers, strings and punctuators.
    pub tokens: usize,
    /// Nesting of brackets of any kind, and of fragment spreads.
    pub nesting: usize,
    /// Nesting of fields. The introspection query of common tools needs 14.
    pub depth: usize,
    /// Number of aliases. An alias of `__typename` is not counted, because Relay adds one to each fragment.
    pub aliases: usize,
    /// Root fields of a query or mutation. A subscription has exactly one, as the specification requires.
    pub root_fields: usize,
    /// Fields at all levels. The fields of a fragment on an interface count once for each possible object type.
    pub fields: usize,
    /// Total cost of the fields. A field costs 1 plus the cost of its selection set, which is multiplied by the page
    /// size (`first` or `last`; 20 without) for a connection, by the number of `ids` for a lookup, and by the maximum
    /// length for any other list.
    pub complexity: u64,
    /// Total cost of `__schema` and `__type`, where lists have the length of the schema's lists. The introspection
    /// query of common tools costs some hundreds per type. 0 disables introspection; it is then INVALID_DOCUMENT.
    pub introspection: u64,
    /// Size of the argument values after fragments are expanded and variables are replaced, in bytes.
    pub argument_bytes: usize,
    /// Size of a subscription's argument values, in bytes. They stay in memory as long as the subscription runs.
    pub subscription_bytes: usize,
    /// Fields of a subscription at all levels. They stay in memory as long as the subscription runs.
    pub subscription_fields: usize,
    /// Bytes of rows read, and of strings and keys in the response; see [`Budget`].
    pub answer_bytes: u64,
    /// Database statements; see [`Budget`].
    pub statements: u64,
    /// Values of introspection; see [`Budget`]. The introspection query of common tools returns 11,000.
    pub introspection_values: u64,
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
            introspection_values: 100_000,
        }
    }
}

impl Limits {
    /// A new budget for one request. It allows as many response values as the complexity limit.
    pub fn budget(&self) -> Budget {
        Budget::new(Usage {
            nodes: self.complexity,
            bytes: self.answer_bytes,
            statements: self.statements,
            introspection: self.introspection_values,
        })
    }

    /// The maximum number of steps to analyse one document. A document within the other limits needs a fraction of it,
    /// unless it is built to have many combinations of fragments.
    pub(super) fn steps(&self) -> usize {
        self.fields.saturating_mul(4)
    }
}
