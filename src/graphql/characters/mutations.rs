//! Mutations that create, change and delete characters.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::Character;
use crate::domain::Result;
use crate::domain::characters::{CharacterChanges, NewCharacter};
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `createCharacter`. In `greeting` and `systemPrompt`, the macros `{{user}}` (the full name of the user,
/// or the username without one), `{{char}}` (the character's name) and `{{date}}` (the date in UTC, YYYY-MM-DD) are
/// replaced once, when the text is used.
#[derive(Debug, Clone, InputObject)]
pub struct CreateCharacterInput {
    /// The character's name. 1 to 100 characters.
    name: String,
    /// A description of the character, for users. At most 1,000 characters.
    description: Option<String>,
    /// The URL of the character's picture: http or https, at most 2,000 characters.
    avatar_url: Option<String>,
    /// The character's first message in a new chat. At most 8,000 characters.
    greeting: Option<String>,
    /// The instructions to the model. 1 to 32,000 characters.
    system_prompt: String,
    /// The ID of the character's preferred model. If absent, the server's default model.
    model_id: Option<ID>,
    /// The sampling temperature, from 0 (least random) to 2 (most random). If absent, the model's default.
    temperature: Option<f64>,
    /// The maximum number of tokens of one reply, at least 1. If absent, the model's limit.
    max_output_tokens: Option<i32>,
    /// Whether the character is visible to all users. If absent, false. True requires CHARACTERS_WRITE.
    is_public: Option<bool>,
    /// The character's tags. At most 10, of 1 to 50 characters.
    tags: Option<Vec<String>>,
}

/// The input of `updateCharacter`. An absent field is left unchanged; null clears it. The limits are those of
/// `CreateCharacterInput`.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateCharacterInput {
    /// The ID of the character.
    character_id: ID,
    /// The character's name. Cannot be null.
    name: MaybeUndefined<String>,
    /// A description of the character, for users.
    description: MaybeUndefined<String>,
    /// The URL of the character's picture.
    avatar_url: MaybeUndefined<String>,
    /// The character's first message in a new chat. At most 8,000 characters; null removes it. Existing chats are not
    /// changed.
    greeting: MaybeUndefined<String>,
    /// The instructions to the model. They apply to the next replies of all chats with the character. Cannot be null.
    system_prompt: MaybeUndefined<String>,
    /// The ID of the character's preferred model. With null, the server's default model.
    model_id: MaybeUndefined<ID>,
    /// The sampling temperature. With null, the model's default.
    temperature: MaybeUndefined<f64>,
    /// The maximum number of tokens of one reply. With null, the model's limit.
    max_output_tokens: MaybeUndefined<i32>,
    /// Whether the character is visible to all users. Cannot be null. A character without an owner cannot be private.
    is_public: MaybeUndefined<bool>,
    /// All tags of the character. Cannot be null.
    tags: MaybeUndefined<Vec<String>>,
}

/// The input of `deleteCharacter`.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteCharacterInput {
    /// The ID of the character.
    character_id: ID,
}

/// The payload of `createCharacter`.
#[derive(Debug, SimpleObject)]
pub struct CreateCharacterPayload {
    /// The new character.
    character: Character,
}

/// The payload of `updateCharacter`.
#[derive(Debug, SimpleObject)]
pub struct UpdateCharacterPayload {
    /// The changed character.
    character: Character,
}

/// The payload of `deleteCharacter`.
#[derive(Debug, SimpleObject)]
pub struct DeleteCharacterPayload {
    /// The ID of the deleted character.
    character_id: ID,
}

/// The mutations of characters.
#[derive(Debug, Default)]
pub struct CharacterMutations;

#[Object]
impl CharacterMutations {
    /// Creates a character that belongs to the viewer. Every user can create private ones, which only their owner sees.
    /// A public one requires CHARACTERS_WRITE; without it, FORBIDDEN. CONFLICT beyond 500 private characters of one
    /// user.
    async fn create_character(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createCharacter`.")] input: CreateCharacterInput,
    ) -> Result<Option<CreateCharacterPayload>> {
        let new = NewCharacter {
            name: input.name,
            description: input.description,
            avatar_url: input.avatar_url,
            greeting: input.greeting,
            system_prompt: input.system_prompt,
            model_id: input.model_id.map(|id| id.0),
            temperature: input.temperature,
            max_output_tokens: input.max_output_tokens,
            is_public: input.is_public,
            tags: input.tags.unwrap_or_default(),
        };
        let character = ctx.state().characters.create(ctx.viewer()?, ctx.client(), new).await?;
        Ok(Some(CreateCharacterPayload { character: Character(character) }))
    }

    /// Changes a character. CHARACTERS_WRITE is required for a character that is public before or after the change,
    /// otherwise FORBIDDEN. NOT_FOUND for a private character of another user.
    async fn update_character(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `updateCharacter`.")] input: UpdateCharacterInput,
    ) -> Result<Option<UpdateCharacterPayload>> {
        let changes = CharacterChanges {
            name: change(input.name),
            description: change(input.description),
            avatar_url: change(input.avatar_url),
            greeting: change(input.greeting),
            system_prompt: change(input.system_prompt),
            model_id: change(input.model_id.map_value(|id| id.0)),
            temperature: change(input.temperature),
            max_output_tokens: change(input.max_output_tokens),
            is_public: change(input.is_public),
            tags: change(input.tags),
        };
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.character_id, "characterId")?);
        let character = ctx.state().characters.update(viewer, ctx.client(), id, changes).await?;
        Ok(Some(UpdateCharacterPayload { character: Character(character) }))
    }

    /// Deletes a character permanently. Its chats remain and continue without a character. FORBIDDEN and
    /// NOT_FOUND as with `updateCharacter`.
    async fn delete_character(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteCharacter`.")] input: DeleteCharacterInput,
    ) -> Result<Option<DeleteCharacterPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.character_id, "characterId")?);
        ctx.state().characters.delete(viewer, ctx.client(), id).await?;
        Ok(Some(DeleteCharacterPayload { character_id: input.character_id }))
    }
}
