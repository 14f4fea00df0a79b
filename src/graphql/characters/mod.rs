//! Characters to talk to.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use futures_util::future::BoxFuture;

use crate::domain::accounts::is_visible;
use crate::domain::input::search_key;
use crate::domain::{Result, characters};
use crate::entity::character;
use crate::graphql::accounts::User;
use crate::graphql::budget::{List, Text};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::TagsOf;
use crate::graphql::pagination::{Connection, PageArguments, Total};
use crate::graphql::scalars::DateTime;
use crate::storage::characters::{CharacterCursor, Filter};

/// Somebody to talk to.
#[derive(Debug, Clone)]
pub struct Character(pub character::Model);

/// Somebody to talk to.
#[Object]
impl Character {
    /// Its id, with the prefix `char`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is, for people who choose.
    async fn description(&self) -> Option<Text<'_>> {
        self.0.description.as_ref().map(Text::from)
    }

    /// Where its picture is.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// Its first message in a new chat.
    async fn greeting(&self) -> Option<Text<'_>> {
        self.0.greeting.as_ref().map(Text::from)
    }

    /// What the model is told before the talk; null for who is neither its owner nor has CHARACTERS_WRITE.
    async fn system_prompt(&self, ctx: &Context<'_>) -> Result<Option<Text<'_>>> {
        let may_see = characters::may_see_instructions(ctx.viewer()?, &self.0);
        Ok(may_see.then(|| Text::from(&self.0.system_prompt)))
    }

    /// The model that it prefers; null is the server's default.
    async fn model_id(&self) -> Option<ID> {
        self.0.model_id.as_ref().map(ids::show)
    }

    /// From 0 (steady) to 2 (wild); null is the model's default.
    async fn temperature(&self) -> Option<f64> {
        self.0.temperature
    }

    /// The most tokens of one reply; null is the model's limit.
    async fn max_output_tokens(&self) -> Option<i32> {
        self.0.max_output_tokens
    }

    /// Whether everybody may talk to it.
    async fn is_public(&self) -> bool {
        self.0.is_public
    }

    /// Its tags.
    async fn tags(&self, ctx: &Context<'_>) -> Result<List<String>> {
        Ok(List(ctx.loaders().load_one(TagsOf(self.0.id)).await?.unwrap_or_default()))
    }

    /// Who made it; null for the server's own, and for somebody whose account is closed.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let Some(id) = self.0.owner_id else { return Ok(None) };
        let viewer = ctx.viewer()?;
        let owner = ctx.loaders().load_one(id).await?.filter(|owner| is_visible(viewer, owner));
        Ok(owner.map(User::from))
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// Which characters are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, InputObject)]
pub struct CharacterFilter {
    /// Text that the name holds, in any case.
    query: Option<String>,
    /// Tags that it has, all of them; at most 10.
    tags: Option<Vec<String>>,
    /// The viewer's own (true), or everybody else's (false).
    is_mine: Option<bool>,
}

/// The queries of this slice.
#[derive(Debug, Default)]
pub struct CharacterQueries;

#[Object]
impl CharacterQueries {
    /// A character that the viewer may talk to; null when there is none with this id.
    async fn character(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The character's id.")] id: ID,
    ) -> Result<Option<Character>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&id, "id")?);
        Ok(ctx.state().characters.find(viewer, id).await?.map(Character))
    }

    /// The characters that the viewer may talk to, by name: the public ones and their own.
    async fn characters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning, at most 100; not together with `last`.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, at most 100; not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which characters are wanted; absent are all.")] filter: Option<CharacterFilter>,
    ) -> Result<Option<Connection<Character>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<CharacterCursor>(false)?;
        let filter = filter.unwrap_or_default();
        let filter = Filter {
            name_key: search_key("filter.query", filter.query.as_deref())?,
            tags: characters::check_tags(filter.tags.unwrap_or_default())?,
            is_of: filter.is_mine.map(|is_mine| (viewer.user_id, is_mine)),
        };
        ctx.budget().statements(1)?;
        let page = ctx.state().characters.page(viewer, &filter, window).await?;
        let (characters, viewer) = (ctx.state().characters.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (characters, viewer, filter) = (characters.clone(), viewer.clone(), filter.clone());
            Box::pin(async move { characters.count(&viewer, &filter).await })
        });
        Ok(Some(Connection::new(page, |character| CharacterCursor::from(character), Character, Total::Counted(total))))
    }
}
