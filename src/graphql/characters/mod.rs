//! Characters.

mod mutations;

use async_graphql::{Context, ID, InputObject, Object};

pub use mutations::CharacterMutations;

use crate::domain::accounts::is_visible;
use crate::domain::{CharacterCursor, Result, characters};
use crate::entity::character;
use crate::graphql::accounts::User;
use crate::graphql::budget::{List, Text};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::TagsOf;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::DateTime;

/// A character to chat with. A public character is visible to all users, a private one only to its owner. A chat whose
/// character was deleted continues with the model alone.
#[derive(Debug, Clone)]
pub struct Character(pub character::Model);

/// A character to chat with. A public character is visible to all users, a private one only to its owner. A chat whose
/// character was deleted continues with the model alone.
#[Object]
impl Character {
    /// The character's ID, with the prefix `char`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The character's name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// A description of the character, for users.
    async fn description(&self) -> Option<Text<'_>> {
        self.0.description.as_ref().map(Text::from)
    }

    /// The URL of the character's picture.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// The character's first message in a new chat, with its macros `{{user}}`, `{{char}}` and `{{date}}`.
    async fn greeting(&self) -> Option<Text<'_>> {
        self.0.greeting.as_ref().map(Text::from)
    }

    /// The instructions to the model, with macros as in `greeting`. Visible to the owner and viewers with
    /// CHARACTERS_WRITE; null for others.
    async fn system_prompt(&self, ctx: &Context<'_>) -> Result<Option<Text<'_>>> {
        let may_see = characters::may_see_instructions(ctx.viewer()?, &self.0);
        Ok(may_see.then(|| Text::from(&self.0.system_prompt)))
    }

    /// The ID of the character's preferred model. Null for the server's default model.
    async fn model_id(&self) -> Option<ID> {
        self.0.model_id.as_ref().map(ids::show)
    }

    /// The sampling temperature, from 0 (least random) to 2 (most random). Null for the model's default.
    async fn temperature(&self) -> Option<f64> {
        self.0.temperature
    }

    /// The maximum number of tokens of one reply. Null for the model's limit.
    async fn max_output_tokens(&self) -> Option<i32> {
        self.0.max_output_tokens
    }

    /// Whether the character is visible to all users.
    async fn is_public(&self) -> bool {
        self.0.is_public
    }

    /// The character's tags.
    async fn tags(&self, ctx: &Context<'_>) -> Result<List<String>> {
        Ok(List(ctx.loaders().load_one(TagsOf(self.0.id)).await?.unwrap_or_default()))
    }

    /// The user who owns the character. Null for the server's own characters, and if the owner's account is
    /// deactivated and the viewer does not have USERS_READ.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let Some(id) = self.0.owner_id else { return Ok(None) };
        let viewer = ctx.viewer()?;
        let owner = ctx.loaders().load_one(id).await?.filter(|owner| is_visible(viewer, owner));
        Ok(owner.map(User::from))
    }

    /// The time when the character was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The time when the character was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// A filter for characters. A character must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct CharacterFilter {
    /// Text contained in the name, ignoring case.
    query: Option<String>,
    /// Tags, all of which the character must have. At most 10.
    tags: Option<Vec<String>>,
    /// Whether the character belongs to the viewer.
    is_mine: Option<bool>,
}

/// The queries of characters.
#[derive(Debug, Default)]
pub struct CharacterQueries;

#[Object]
impl CharacterQueries {
    /// Looks up a character. Null if there is no character with this ID that is visible to the viewer; INVALID_INPUT
    /// for a malformed ID or an ID of another type.
    async fn character(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the character.")] id: ID,
    ) -> Result<Option<Character>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&id, "id")?);
        Ok(ctx.state().characters.find(viewer, id).await?.map(Character))
    }

    /// The characters visible to the viewer, sorted by name: public ones and the viewer's own.
    async fn characters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only characters that match this filter. If absent, all characters are returned.")]
        filter: Option<CharacterFilter>,
    ) -> Result<Option<Connection<Character>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<CharacterCursor>(false)?;
        let CharacterFilter { query, tags, is_mine } = filter.unwrap_or_default();
        let filter = characters::filter(viewer, query.as_deref(), tags.unwrap_or_default(), is_mine)?;
        ctx.budget().statements(1)?;
        let characters = &ctx.state().characters;
        let page = characters.page(viewer, &filter, window).await?;
        let total = total_if_requested(ctx, characters.count(viewer, &filter)).await?;
        Ok(Some(Connection::new(page, |character| CharacterCursor::from(character), Character, total)))
    }
}
