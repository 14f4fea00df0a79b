//! Full-text search over messages.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};

use super::Message;
use crate::domain::replies::parts;
use crate::domain::search::{self, Hit, Query, SearchCursor};
use crate::domain::{ChatAccess, Page, Result};
use crate::entity::message;
use crate::graphql::budget::Text;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::Within;
use crate::graphql::pagination::{Connection, PageArguments, Uncounted};
use crate::graphql::scalars::DateTime;

/// A filter for messages. A message must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct MessageFilter {
    /// The ID of the chat of the message.
    chat_id: Option<ID>,
    /// The ID of the character of the message's chat.
    character_id: Option<ID>,
    /// The earliest time of creation.
    from: Option<DateTime>,
    /// The time before which the message was created.
    to: Option<DateTime>,
}

/// A message that a search found.
#[derive(Debug, Clone)]
pub struct MessageSearchHit {
    row: Arc<message::Model>,
    access: ChatAccess,
    query: Arc<Query>,
}

/// A message that a search found.
#[Object]
impl MessageSearchHit {
    /// The message.
    async fn message(&self) -> Message {
        Message::found(Arc::clone(&self.row), self.access)
    }

    /// A part of the message with matches, as plain text. Each match is enclosed between U+E000 and U+E001; these two
    /// characters are removed from the text itself. Text that is left out is shown as `…`.
    async fn snippet(&self) -> Text<'_> {
        Text::from(self.query.snippet(&parts::content(&self.row)))
    }
}

/// The queries of messages.
#[derive(Debug, Default)]
pub struct SearchQueries;

#[Object]
impl SearchQueries {
    /// Full-text search over the messages of the viewer's chats: of users and assistants, on all branches. A message
    /// matches if it contains every word of the query; text in double quotes must occur as a phrase. All other
    /// operators are plain text. Case, accents and punctuation are ignored, and there is no stemming. Chinese,
    /// Japanese, Korean, Thai, Lao, Khmer and Burmese text matches by substring. The newest 101 matches are sorted by
    /// relevance, then the next older 101, and so on. Of a long message, the first 10,000 words are searched; a
    /// streaming reply is found when it has ended. INVALID_INPUT for a query without a word, with more than 200
    /// characters, or with more than 32 words.
    async fn search_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The words to search for. At most 200 characters and 32 words.")] query: String,
        #[graphql(desc = "Returns only messages that match this filter. If absent, all messages are searched.")] filter: Option<
            MessageFilter,
        >,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). If absent, 20.")] first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
    ) -> Result<Option<Uncounted<MessageSearchHit>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, ..PageArguments::default() }.window::<SearchCursor>(false)?;
        let filter = filter.unwrap_or_default();
        let filter = search::Filter {
            chat_id: ids::parse_optional(filter.chat_id.as_ref(), "filter.chatId")?,
            character_id: ids::parse_optional(filter.character_id.as_ref(), "filter.characterId")?,
            from: filter.from.map(|from| from.0),
            to: filter.to.map(|to| to.0),
        };
        let query = Arc::new(Query::parse("query", &query)?);
        ctx.budget().statements(search::MAX_STATEMENTS)?;
        let page = ctx.state().search.page(viewer, &query, &filter, &window).await?;
        let access = ChatAccess::from(viewer);
        let messages = ctx.loaders().load_many(page.rows.iter().map(|hit| Within(access, hit.message_id))).await?;
        // A message may have been deleted since.
        let found = |hit: Hit| Some((hit.cursor, messages.get(&Within(access, hit.message_id))?.clone()));
        let page = Page {
            rows: page.rows.into_iter().filter_map(found).collect(),
            has_previous: page.has_previous,
            has_next: page.has_next,
        };
        let node = |(_, row)| MessageSearchHit { row, access, query: Arc::clone(&query) };
        Ok(Some(Uncounted(Connection::new(page, |(cursor, _)| *cursor, node, None))))
    }
}
