//! The budget of one request: the number of values in its response, bytes, database statements, and values of
//! introspection.
//!
//! The complexity estimate of a document rejects it before execution; the budget counts actual use during execution.
//! Lists, long texts and loaders are charged to it. A query that exceeds it ends at once with QUERY_TOO_COMPLEX. A
//! mutation runs to its end, because its effects are permanent; fields that exceed the budget are errors. Each event of
//! a subscription has the full budget.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::{MetaType, MetaTypeId, Registry};
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use futures_util::future::try_join_all;
use serde_json::Value as Json;

use crate::domain::{Error, Result};

/// The number of values after which a request yields to other tasks, in the list that it resolves next.
const YIELD_AFTER: u64 = 500;
/// The number of items of a time series that are resolved together, before it yields to other tasks.
const SERIES_BATCH: usize = 1_000;
/// The approximate size of a value in JSON without its key and text, in bytes.
pub const PUNCTUATION: usize = 4;

/// Resource usage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Values in the response.
    pub nodes: u64,
    /// Bytes of the rows read, and of the texts and keys in the response.
    pub bytes: u64,
    /// Database statements.
    pub statements: u64,
    /// Values of introspection, which have a limit of their own.
    pub introspection: u64,
}

/// The limits of one request, and its usage so far.
#[derive(Debug)]
pub struct Budget {
    limit: Usage,
    nodes: Counter,
    bytes: Counter,
    statements: Counter,
    introspection: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    used: AtomicU64,
    /// The usage at the start of the current event.
    before: AtomicU64,
}

impl Counter {
    fn charge(&self, amount: u64, limit: u64) -> Result<()> {
        self.used.fetch_add(amount, Ordering::Relaxed);
        if self.of_event() > limit { Err(Error::TooComplex) } else { Ok(()) }
    }

    fn of_event(&self) -> u64 {
        self.used.load(Ordering::Relaxed).saturating_sub(self.before.load(Ordering::Relaxed))
    }

    fn renew(&self) {
        self.before.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Budget {
    /// Creates a budget without usage.
    pub fn new(limit: Usage) -> Self {
        Self {
            limit,
            nodes: Counter::default(),
            bytes: Counter::default(),
            statements: Counter::default(),
            introspection: Counter::default(),
        }
    }

    /// The usage so far, by all events together.
    pub fn used(&self) -> Usage {
        let used = |counter: &Counter| counter.used.load(Ordering::Relaxed);
        Usage {
            nodes: used(&self.nodes),
            bytes: used(&self.bytes),
            statements: used(&self.statements),
            introspection: used(&self.introspection),
        }
    }

    /// Restores the full budget for the next event.
    pub fn renew(&self) {
        [&self.nodes, &self.bytes, &self.statements, &self.introspection].into_iter().for_each(Counter::renew);
    }

    /// Whether the usage exceeds a limit.
    pub fn is_exceeded(&self) -> bool {
        let limit = self.limit;
        let counters = [
            (&self.nodes, limit.nodes),
            (&self.bytes, limit.bytes),
            (&self.statements, limit.statements),
            (&self.introspection, limit.introspection),
        ];
        counters.into_iter().any(|(counter, limit)| counter.of_event() > limit)
    }

    /// The number of bytes left.
    pub fn bytes_left(&self) -> u64 {
        self.limit.bytes.saturating_sub(self.bytes.of_event())
    }

    /// Charges statements.
    ///
    /// # Errors
    /// [`Error::TooComplex`] if the limit is exceeded; also for the methods below.
    pub fn statements(&self, count: u64) -> Result<()> {
        self.statements.charge(count, self.limit.statements)
    }

    /// Charges bytes.
    pub fn bytes(&self, bytes: usize) -> Result<()> {
        self.bytes.charge(bytes as u64, self.limit.bytes)
    }

    /// Charges values of introspection, and the bytes of their texts and keys.
    pub fn introspection(&self, values: u64, bytes: usize) -> Result<()> {
        self.introspection.charge(values, self.limit.introspection)?;
        self.bytes(bytes)
    }

    /// Charges the selection set once, as if every list had one item. [`List`] charges the remaining items.
    pub fn selection(&self, selection: &SelectionSet) -> Result<()> {
        self.values(SelectionSize::of(selection), 1)
    }

    /// Charges the items of a list except the first. Returns whether the request should yield to other tasks.
    fn list(&self, length: usize, selection: &SelectionSet) -> Result<bool> {
        let size = SelectionSize::of(selection).max(SelectionSize { nodes: 1, bytes: PUNCTUATION as u64 });
        let turns = || self.nodes.used.load(Ordering::Relaxed) / YIELD_AFTER;
        let before = turns();
        self.values(size, (length as u64).saturating_sub(1))?;
        Ok(turns() > before)
    }

    fn values(&self, size: SelectionSize, times: u64) -> Result<()> {
        self.nodes.charge(size.nodes.saturating_mul(times), self.limit.nodes)?;
        self.bytes.charge(size.bytes.saturating_mul(times), self.limit.bytes)
    }
}

/// The size of the response to a selection set in which every list has one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct SelectionSize {
    nodes: u64,
    bytes: u64,
}

impl SelectionSize {
    /// Recursion is bounded by the depth limit of documents.
    fn of(selection: &SelectionSet) -> Self {
        let (mut size, mut of_types) = (Self::default(), Self::default());
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let below = Self::of(&field.node.selection_set.node);
                    let key = field.node.response_key().node.len() + PUNCTUATION;
                    size.nodes = size.nodes.saturating_add(below.nodes).saturating_add(1);
                    size.bytes = size.bytes.saturating_add(below.bytes).saturating_add(key as u64);
                }
                // An expanded document has one inline fragment for each possible type, and a value has exactly one
                // type.
                Selection::InlineFragment(fragment) => {
                    let of_type = Self::of(&fragment.node.selection_set.node);
                    of_types.nodes = of_types.nodes.max(of_type.nodes);
                    of_types.bytes = of_types.bytes.max(of_type.bytes);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
        Self { nodes: size.nodes.saturating_add(of_types.nodes), bytes: size.bytes.saturating_add(of_types.bytes) }
    }
}

/// A list in the response, charged to the budget. Every list field of the schema returns this type.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T: OutputType> OutputType for List<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        if charge(ctx, |budget| budget.list(self.0.len(), &ctx.item.node))? {
            tokio::task::yield_now().await;
        }
        self.0.resolve(ctx, field).await
    }
}

/// A time series in the response. It has a fixed maximum length, and its items are small: each time step counts as one
/// list item, however many groups it has; the bytes of all items are charged.
#[derive(Debug, Clone)]
pub struct Series<T> {
    /// The items.
    pub items: Vec<T>,
    /// The number of time steps.
    pub steps: usize,
}

impl<T: OutputType> OutputType for Series<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let size = SelectionSize::of(&ctx.item.node);
        charge(ctx, |budget| {
            budget.values(SelectionSize { bytes: 0, ..size }, (self.steps as u64).saturating_sub(1))?;
            budget.values(SelectionSize { nodes: 0, ..size }, (self.items.len() as u64).saturating_sub(1))
        })?;
        let mut values = Vec::with_capacity(self.items.len());
        for items in self.items.chunks(SERIES_BATCH) {
            let first = values.len();
            let resolved = items.iter().enumerate().map(|(place, item)| {
                let ctx = ctx.with_index(first + place);
                async move { item.resolve(&ctx, field).await.map_err(|cause| ctx.set_error_path(cause)) }
            });
            values.extend(try_join_all(resolved).await?);
            tokio::task::yield_now().await;
        }
        Ok(Value::List(values))
    }
}

/// A potentially long text in the response, charged to the budget.
#[derive(Debug, Clone)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl OutputType for Text<'_> {
    fn type_name() -> Cow<'static, str> {
        <String as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <String as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        charge(ctx, |budget| budget.bytes(length_in_json(&self.0)))?;
        Ok(Value::String(self.0.clone().into_owned()))
    }
}

/// A JSON value in the response, charged to the budget.
#[derive(Debug, Clone)]
pub struct AnyJson<'a>(pub Cow<'a, Json>);

impl OutputType for AnyJson<'_> {
    fn type_name() -> Cow<'static, str> {
        <async_graphql::Json<Json> as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<AnyJson<'static>, _>(MetaTypeId::Scalar, |_| MetaType::Scalar {
            name: Self::type_name().into_owned(),
            description: Some("Any JSON value.".to_owned()),
            is_valid: None,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            specified_by_url: Some("https://www.rfc-editor.org/rfc/rfc8259".to_owned()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        charge(ctx, |budget| budget.bytes(size_of_json(&self.0)))?;
        async_graphql::Json(&*self.0).resolve(ctx, field).await
    }
}

fn charge<T>(ctx: &ContextSelectionSet<'_>, charge: impl FnOnce(&Budget) -> Result<T>) -> ServerResult<T> {
    let charged = charge(ctx.data_unchecked::<std::sync::Arc<Budget>>());
    charged.map_err(|cause| ctx.set_error_path(async_graphql::Error::from(cause).into_server_error(ctx.item.pos)))
}

/// The length of a text in JSON, in which control characters, quotes and backslashes are escaped.
fn length_in_json(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        ..32 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(escaped).sum::<usize>()
}

/// The approximate memory size of a JSON value, in bytes. Recursion is bounded by the parser that produced it.
fn size_of_json(value: &Json) -> usize {
    const NODE: usize = 72;
    NODE + match value {
        Json::String(text) => length_in_json(text),
        Json::Array(items) => items.iter().map(size_of_json).sum(),
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| length_in_json(name) + size_of_json(value)).sum::<usize>()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;

    use super::*;

    fn size(text: &str) -> u64 {
        let DocumentOperations::Single(operation) = parse_query(text).unwrap().operations else { panic!() };
        SelectionSize::of(&operation.node.selection_set.node).nodes
    }

    #[test]
    fn only_the_largest_inline_fragment_counts() {
        assert_eq!(size("{ a b { c } }"), 3);
        assert_eq!(size("{ a { ... on A { b } ... on B { b c d { e } } f } }"), 6);
    }

    #[test]
    fn each_event_has_the_full_budget() {
        let budget = Budget::new(Usage { nodes: 10, bytes: 100, statements: 2, introspection: 0 });
        assert!(budget.statements(1).is_ok() && budget.statements(1).is_ok() && !budget.is_exceeded());
        assert!(matches!(budget.statements(1), Err(Error::TooComplex)) && budget.is_exceeded());
        budget.renew();
        assert!(budget.statements(1).is_ok() && !budget.is_exceeded());
        assert!(budget.bytes(100).is_ok() && budget.bytes(1).is_err());
        assert_eq!(
            (budget.used(), budget.bytes_left()),
            (Usage { nodes: 0, bytes: 101, statements: 4, introspection: 0 }, 0)
        );
    }

    #[test]
    fn text_size_is_its_length_in_json() {
        for text in ["plain ü 🏃", "\"\\\n\t", "\u{1}\u{1f}\u{8}\u{c}\u{7f}"] {
            assert_eq!(length_in_json(text), serde_json::to_string(text).unwrap().len() - 2, "{text}");
        }
    }
}
