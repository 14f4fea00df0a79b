//! Prompts.

mod mutations;

use async_graphql::{Context, Enum, ID, InputObject, Object};

pub use mutations::PromptMutations;

use crate::domain::{PromptCursor, Result, macros, prompts};
use crate::entity::prompt;
use crate::graphql::budget::{List, Text};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::PromptTagsOf;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::DateTime;

/// The use of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::PromptKind")]
pub enum PromptKind {
    /// A text from which a user can start a message. `{{name}}` in its content is a variable, which the client
    /// replaces. Visible to all users.
    Template,
    /// Prepended to the system prompt of every chat. Visible only to viewers with PROMPTS_WRITE.
    Common,
}

/// A prompt that all users can start from, or that is part of every chat.
#[derive(Debug, Clone)]
pub struct Prompt(pub prompt::Model);

/// A prompt that all users can start from, or that is part of every chat.
#[Object]
impl Prompt {
    /// The prompt's ID, with the prefix `prompt`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The prompt's title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// The text of the prompt. In a COMMON prompt, the macros `{{user}}`, `{{char}}` and `{{date}}` are replaced when a
    /// reply is written.
    async fn content(&self) -> Text<'_> {
        Text::from(&self.0.content)
    }

    /// The names of the variables in the content (`{{name}}`), in the order of their first use, each once. A name
    /// consists of letters, digits, `_` and `-`. The macros `user`, `char` and `date` are not variables.
    async fn variables(&self) -> List<&str> {
        List(macros::variables(&self.0.content))
    }

    /// The use of the prompt.
    async fn kind(&self) -> PromptKind {
        self.0.kind.into()
    }

    /// The prompt's tags.
    async fn tags(&self, ctx: &Context<'_>) -> Result<List<String>> {
        Ok(List(ctx.loaders().load_one(PromptTagsOf(self.0.id)).await?.unwrap_or_default()))
    }

    /// The time when the prompt was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The time when the prompt was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// A filter for prompts. A prompt must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct PromptFilter {
    /// Text contained in the title, ignoring case.
    query: Option<String>,
    /// The kind of the prompt.
    kind: Option<PromptKind>,
    /// Tags, all of which the prompt must have. At most 10.
    tags: Option<Vec<String>>,
}

/// The queries of prompts.
#[derive(Debug, Default)]
pub struct PromptQueries;

#[Object]
impl PromptQueries {
    /// The prompts visible to the viewer, sorted by title.
    async fn prompts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only prompts that match this filter. If absent, all prompts are returned.")]
        filter: Option<PromptFilter>,
    ) -> Result<Option<Connection<Prompt>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<PromptCursor>(false)?;
        let PromptFilter { query, kind, tags } = filter.unwrap_or_default();
        let filter = prompts::filter(query.as_deref(), kind.map(Into::into), tags.unwrap_or_default())?;
        ctx.budget().statements(1)?;
        let prompts = &ctx.state().prompts;
        let page = prompts.page(viewer, &filter, window).await?;
        let total = total_if_requested(ctx, prompts.count(viewer, &filter)).await?;
        Ok(Some(Connection::new(page, |prompt| PromptCursor::from(prompt), Prompt, total)))
    }
}
