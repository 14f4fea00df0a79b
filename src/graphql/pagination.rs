//! Connections, as defined by the Relay cursor connections specification (<https://relay.dev/graphql/connections.htm>).

use async_graphql::{Context, Object, OutputType, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::input::Checks;
use crate::domain::{Error, FieldErrorCode, Page, Result, Window};
use crate::graphql::accounts::User;
use crate::graphql::admin::AuditEntry;
use crate::graphql::budget::List;
use crate::graphql::characters::Character;
use crate::graphql::chats::{Chat, Message, MessageSearchHit};
use crate::graphql::context::ContextExt as _;
use crate::graphql::direct_messages::{Conversation, DirectMessage};
use crate::graphql::prompts::Prompt;

/// The maximum page size.
const MAX_PAGE: i32 = 100;
/// The page size if neither `first` nor `last` is given.
const DEFAULT_PAGE: u32 = 20;

/// The position of a page in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// Whether the list has items after this page.
    pub has_next_page: bool,
    /// Whether the list has items before this page.
    pub has_previous_page: bool,
    /// The cursor of the first edge. Null if the page is empty.
    pub start_cursor: Option<String>,
    /// The cursor of the last edge. Null if the page is empty.
    pub end_cursor: Option<String>,
}

/// A page of a list.
pub struct Connection<T> {
    edges: Vec<Edge<T>>,
    has_next: bool,
    has_previous: bool,
    /// The number of items in the whole list, if it was counted.
    total: Option<u64>,
}

/// An item of a list, with its cursor.
pub struct Edge<T> {
    cursor: String,
    node: T,
}

/// A page of a list, as defined by the Relay cursor connections specification.
#[Object(
    concrete(name = "ChatConnection", params(Chat)),
    concrete(name = "UserConnection", params(User)),
    concrete(name = "AuditEntryConnection", params(AuditEntry)),
    concrete(name = "MessageConnection", params(Message)),
    concrete(name = "CharacterConnection", params(Character)),
    concrete(name = "PromptConnection", params(Prompt)),
    concrete(name = "ConversationConnection", params(Conversation)),
    concrete(name = "DirectMessageConnection", params(DirectMessage))
)]
impl<T: OutputType> Connection<T>
where
    Edge<T>: OutputType,
{
    /// The items of the page, each with its cursor.
    async fn edges(&self) -> List<&Edge<T>> {
        self.edges.iter().collect()
    }

    /// The items of the page.
    async fn nodes(&self) -> List<&T> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// The position of this page in the list.
    async fn page_info(&self) -> PageInfo {
        self.position()
    }

    /// The number of items in the whole list, on all pages. Computed only if requested.
    async fn total_count(&self) -> Result<i32> {
        let total = self.total.ok_or_else(|| Error::internal("a list that was not counted"))?;
        Ok(i32::try_from(total).unwrap_or(i32::MAX))
    }
}

/// A page of a list whose items are not counted.
pub struct Uncounted<T>(pub Connection<T>);

/// A page of a list, as defined by the Relay cursor connections specification.
#[Object(concrete(name = "MessageSearchConnection", params(MessageSearchHit)))]
impl<T: OutputType> Uncounted<T>
where
    Edge<T>: OutputType,
{
    /// The items of the page, each with its cursor.
    async fn edges(&self) -> List<&Edge<T>> {
        self.0.edges.iter().collect()
    }

    /// The items of the page.
    async fn nodes(&self) -> List<&T> {
        self.0.edges.iter().map(|edge| &edge.node).collect()
    }

    /// The position of this page in the list.
    async fn page_info(&self) -> PageInfo {
        self.0.position()
    }
}

/// An item of a list, with its cursor.
#[Object(
    concrete(name = "ChatEdge", params(Chat)),
    concrete(name = "UserEdge", params(User)),
    concrete(name = "AuditEntryEdge", params(AuditEntry)),
    concrete(name = "MessageEdge", params(Message)),
    concrete(name = "CharacterEdge", params(Character)),
    concrete(name = "PromptEdge", params(Prompt)),
    concrete(name = "MessageSearchEdge", params(MessageSearchHit)),
    concrete(name = "ConversationEdge", params(Conversation)),
    concrete(name = "DirectMessageEdge", params(DirectMessage))
)]
impl<T: OutputType> Edge<T> {
    /// The cursor of the item, for `after` and `before`. Opaque.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The item.
    async fn node(&self) -> &T {
        &self.node
    }
}

impl<T> Connection<T> {
    /// Creates a connection from a page of rows.
    pub fn new<R, P: Serialize>(
        page: Page<R>,
        cursor: impl Fn(&R) -> P,
        node: impl Fn(R) -> T,
        total: Option<u64>,
    ) -> Self {
        let (has_next, has_previous) = (page.has_next, page.has_previous);
        let edge = |row: R| Edge { cursor: encode(&cursor(&row)), node: node(row) };
        Self { edges: page.rows.into_iter().map(edge).collect(), has_next, has_previous, total }
    }

    fn position(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }
}

/// The number of items in a whole list, for [`Connection::new`]. Counted only if the field being resolved is a
/// connection whose `totalCount` is requested.
///
/// # Errors
/// As `count`, and [`Error::TooComplex`] if the budget of statements is exceeded.
pub async fn total_if_requested(ctx: &Context<'_>, count: impl Future<Output = Result<u64>>) -> Result<Option<u64>> {
    if !ctx.look_ahead().field("totalCount").exists() {
        return Ok(None);
    }
    ctx.budget().statements(1)?;
    count.await.map(Some)
}

/// The pagination arguments of a connection.
#[derive(Debug, Clone, Default)]
pub struct PageArguments {
    /// Returns the first *n* items.
    pub first: Option<i32>,
    /// Returns only items after this cursor.
    pub after: Option<String>,
    /// Returns the last *n* items.
    pub last: Option<i32>,
    /// Returns only items before this cursor.
    pub before: Option<String>,
}

impl PageArguments {
    /// Parses the arguments into a window. Without `first` and `last` it is the first 20 items, or the last 20 if
    /// `from_end`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `first` and `last` are both given, if one is below 0 or above 100, and for
    /// a cursor that is not of this list.
    pub fn window<P: DeserializeOwned>(&self, from_end: bool) -> Result<Window<P>> {
        let mut checks = Checks::default();
        for (name, count) in [("first", self.first), ("last", self.last)] {
            if count.is_some_and(|count| !(0..=MAX_PAGE).contains(&count)) {
                checks.fail(name, FieldErrorCode::OutOfRange, "Must be between 0 and 100.");
            }
        }
        if self.first.is_some() && self.last.is_some() {
            checks.fail("last", FieldErrorCode::NotAllowed, "`first` and `last` cannot be combined.");
        }
        let after = decode(&mut checks, "after", self.after.as_deref());
        let before = decode(&mut checks, "before", self.before.as_deref());
        checks.finish()?;
        let count = self.first.or(self.last).map_or(DEFAULT_PAGE, i32::unsigned_abs);
        // `after` alone pages forward, even in a list that is read from its end by default.
        let from_end = self.last.is_some() || (self.first.is_none() && from_end && after.is_none());
        Ok(Window { after, before, limit: count, from_end })
    }
}

fn decode<P: DeserializeOwned>(checks: &mut Checks, name: &str, text: Option<&str>) -> Option<P> {
    let text = text?;
    let json = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let cursor = json.filter(|json| !has_nul(json)).and_then(|json| serde_json::from_value(json).ok());
    if cursor.is_none() {
        checks.fail(name, FieldErrorCode::Malformed, "Not a cursor of this list.");
    }
    cursor
}

/// Whether a forged cursor contains U+0000, which PostgreSQL rejects in text.
fn has_nul(cursor: &Value) -> bool {
    let is_nul = |value: &Value| value.as_str().is_some_and(|text| text.contains('\0'));
    cursor.as_object().is_some_and(|fields| fields.values().any(is_nul))
}

fn encode<P: Serialize>(cursor: &P) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}
