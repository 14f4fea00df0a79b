//! What one request may use, whatever it asks for: values of its answer, bytes, and statements of the database.
//!
//! The estimate of a document refuses early and cheaply; the budget counts what is really used. Lists, long texts and loaders
//! draw from it. A query that goes beyond it ends at once with QUERY_TOO_COMPLEX. A mutation runs to its end, because its effects
//! stay; its fields that go beyond are errors. Each event of a subscription has the whole budget anew.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use serde_json::Value as Json;

use crate::domain::{Error, Result};

/// The values between which a long list lets others have their turn.
const STRETCH: u64 = 1_000;
/// About what a value costs beside its key and its text, in bytes of JSON.
const PUNCTUATION: usize = 4;

/// An amount of what requests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Values of the answer.
    pub nodes: u64,
    /// Bytes of rows that were read and of texts and keys that are answered.
    pub bytes: u64,
    /// Statements of the database.
    pub statements: u64,
}

/// What one request may use, and has used.
#[derive(Debug)]
pub struct Budget {
    limit: Usage,
    nodes: Meter,
    bytes: Meter,
    statements: Meter,
}

#[derive(Debug, Default)]
struct Meter {
    used: AtomicU64,
    /// What had been used when the event began.
    before: AtomicU64,
}

impl Meter {
    fn draw(&self, amount: u64, limit: u64) -> Result<()> {
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
    /// A whole one.
    pub fn new(limit: Usage) -> Self {
        Self { limit, nodes: Meter::default(), bytes: Meter::default(), statements: Meter::default() }
    }

    /// What has been used so far, by all events together.
    pub fn used(&self) -> Usage {
        let used = |meter: &Meter| meter.used.load(Ordering::Relaxed);
        Usage { nodes: used(&self.nodes), bytes: used(&self.bytes), statements: used(&self.statements) }
    }

    /// Makes it whole for the next event.
    pub fn renew(&self) {
        [&self.nodes, &self.bytes, &self.statements].into_iter().for_each(Meter::renew);
    }

    /// Whether more was drawn than there was.
    pub fn is_exceeded(&self) -> bool {
        let limit = self.limit;
        let meters = [(&self.nodes, limit.nodes), (&self.bytes, limit.bytes), (&self.statements, limit.statements)];
        meters.into_iter().any(|(meter, limit)| meter.of_event() > limit)
    }

    /// How many bytes may still be used.
    pub fn bytes_left(&self) -> u64 {
        self.limit.bytes.saturating_sub(self.bytes.of_event())
    }

    /// Draws statements.
    ///
    /// # Errors
    /// [`Error::TooComplex`] beyond the limit; as everywhere below.
    pub fn statements(&self, count: u64) -> Result<()> {
        self.statements.draw(count, self.limit.statements)
    }

    /// Draws bytes.
    pub fn bytes(&self, bytes: usize) -> Result<()> {
        self.bytes.draw(bytes as u64, self.limit.bytes)
    }

    /// Draws what is asked for, once: an answer in which every list has one entry. A list draws the difference.
    pub fn selection(&self, selection: &SelectionSet) -> Result<()> {
        self.values(Weight::of(selection), 1)
    }

    fn list(&self, length: usize, selection: &SelectionSet) -> Result<u64> {
        let weight = Weight::of(selection).max(Weight { nodes: 1, bytes: PUNCTUATION as u64 });
        let more = (length as u64).saturating_sub(1);
        self.values(weight, more)?;
        Ok(weight.nodes.saturating_mul(more))
    }

    fn values(&self, weight: Weight, times: u64) -> Result<()> {
        self.nodes.draw(weight.nodes.saturating_mul(times), self.limit.nodes)?;
        self.bytes.draw(weight.bytes.saturating_mul(times), self.limit.bytes)
    }
}

/// The size of what a selection asks for, with one entry of each list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Weight {
    nodes: u64,
    bytes: u64,
}

impl Weight {
    /// Recursion is bounded by the depth of documents.
    fn of(selection: &SelectionSet) -> Self {
        let (mut weight, mut of_types) = (Self::default(), Self::default());
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let below = Self::of(&field.node.selection_set.node);
                    let key = field.node.response_key().node.len() + PUNCTUATION;
                    weight.nodes = weight.nodes.saturating_add(below.nodes).saturating_add(1);
                    weight.bytes = weight.bytes.saturating_add(below.bytes).saturating_add(key as u64);
                }
                // There is one for each type that a value may be; it is of one.
                Selection::InlineFragment(fragment) => {
                    let of_type = Self::of(&fragment.node.selection_set.node);
                    of_types.nodes = of_types.nodes.max(of_type.nodes);
                    of_types.bytes = of_types.bytes.max(of_type.bytes);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
        Self { nodes: weight.nodes.saturating_add(of_types.nodes), bytes: weight.bytes.saturating_add(of_types.bytes) }
    }
}

/// A list of the answer. Every list of the schema is one, so that none is forgotten.
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
        let drawn = draw(ctx, |budget| budget.list(self.0.len(), &ctx.item.node))?;
        if drawn >= STRETCH {
            tokio::task::yield_now().await;
        }
        self.0.resolve(ctx, field).await
    }
}

/// A text of the answer that may be long.
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
        draw(ctx, |budget| budget.bytes(length_in_json(&self.0)))?;
        Ok(Value::String(self.0.clone().into_owned()))
    }
}

/// A JSON value of the answer.
#[derive(Debug, Clone)]
pub struct AnyJson<'a>(pub Cow<'a, Json>);

impl OutputType for AnyJson<'_> {
    fn type_name() -> Cow<'static, str> {
        <async_graphql::Json<Json> as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <async_graphql::Json<Json> as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        draw(ctx, |budget| budget.bytes(size_of_json(&self.0)))?;
        async_graphql::Json(&*self.0).resolve(ctx, field).await
    }
}

fn draw<T>(ctx: &ContextSelectionSet<'_>, draw: impl FnOnce(&Budget) -> Result<T>) -> ServerResult<T> {
    let drawn = draw(ctx.data_unchecked::<std::sync::Arc<Budget>>());
    drawn.map_err(|cause| ctx.set_error_path(async_graphql::Error::from(cause).into_server_error(ctx.item.pos)))
}

/// How long a text is in JSON: control characters, quotes and backslashes are escaped.
fn length_in_json(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        ..32 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(escaped).sum::<usize>()
}

/// About how much memory a JSON value takes, in bytes. Recursion is bounded by the parser that made it.
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

    fn weight(text: &str) -> u64 {
        let DocumentOperations::Single(operation) = parse_query(text).unwrap().operations else { panic!() };
        Weight::of(&operation.node.selection_set.node).nodes
    }

    #[test]
    fn a_value_is_of_one_type() {
        assert_eq!(weight("{ a b { c } }"), 3);
        assert_eq!(weight("{ a { ... on A { b } ... on B { b c d { e } } f } }"), 6);
    }

    #[test]
    fn events_have_the_whole_budget_each() {
        let budget = Budget::new(Usage { nodes: 10, bytes: 100, statements: 2 });
        assert!(budget.statements(1).is_ok() && budget.statements(1).is_ok() && !budget.is_exceeded());
        assert!(matches!(budget.statements(1), Err(Error::TooComplex)) && budget.is_exceeded());
        budget.renew();
        assert!(budget.statements(1).is_ok() && !budget.is_exceeded());
        assert!(budget.bytes(100).is_ok() && budget.bytes(1).is_err());
        assert_eq!((budget.used(), budget.bytes_left()), (Usage { nodes: 0, bytes: 101, statements: 4 }, 0));
    }

    #[test]
    fn texts_count_as_they_are_sent() {
        for text in ["plain ü 🏃", "\"\\\n\t", "\u{1}\u{1f}\u{8}\u{c}\u{7f}"] {
            assert_eq!(length_in_json(text), serde_json::to_string(text).unwrap().len() - 2, "{text}");
        }
    }
}
