//! The mutations of chats.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::Chat;
use crate::domain::Result;
use crate::domain::chats::{ChatChanges, NewChat};
use crate::domain::input::Change;
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `createChat`.
#[derive(Debug, Clone, InputObject)]
pub struct CreateChatInput {
    /// The ID of the character of the chat. If absent, the chat is with the model alone. The character's greeting
    /// becomes the first message.
    pub character_id: Option<ID>,
    /// The chat's title. 1 to 200 characters.
    pub title: Option<String>,
    /// The ID of the model of the replies. If absent, the character's model or the server's default model.
    pub model_id: Option<ID>,
    /// For 24 hours, the same key with the same input returns the chat of the first call again. 1 to 255 characters.
    pub idempotency_key: Option<String>,
}

impl CreateChatInput {
    /// Parses the IDs. `prefix` is the path to the input.
    pub(in crate::graphql) fn parse(self, prefix: &str) -> Result<NewChat> {
        Ok(NewChat {
            character_id: ids::parse_optional(self.character_id.as_ref(), &format!("{prefix}characterId"))?,
            title: self.title,
            model_id: self.model_id.map(|id| id.0),
            idempotency_key: self.idempotency_key,
        })
    }
}

/// The input of `updateChat`. An absent field is left unchanged; null clears it.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateChatInput {
    /// The ID of the chat.
    chat_id: ID,
    /// The chat's title. 1 to 200 characters.
    title: MaybeUndefined<String>,
    /// The ID of the model of the next replies. Cannot be null.
    model_id: MaybeUndefined<ID>,
    /// The ID of the character of the chat from now on. With null, the chat is with the model alone.
    character_id: MaybeUndefined<ID>,
    /// Whether the chat is pinned. Cannot be null.
    is_pinned: MaybeUndefined<bool>,
    /// Whether the chat is archived. Cannot be null.
    is_archived: MaybeUndefined<bool>,
}

/// The input of `deleteChat`.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteChatInput {
    /// The ID of the chat.
    chat_id: ID,
}

/// The payload of `createChat`.
#[derive(Debug, SimpleObject)]
pub struct CreateChatPayload {
    /// The new chat.
    chat: Chat,
}

/// The payload of `updateChat`.
#[derive(Debug, SimpleObject)]
pub struct UpdateChatPayload {
    /// The changed chat.
    chat: Chat,
}

/// The payload of `deleteChat`.
#[derive(Debug, SimpleObject)]
pub struct DeleteChatPayload {
    /// The ID of the deleted chat.
    chat_id: ID,
}

/// The mutations of chats.
#[derive(Debug, Default)]
pub struct ChatMutations;

#[Object]
impl ChatMutations {
    /// Creates a chat.
    async fn create_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createChat`.")] input: CreateChatInput,
    ) -> Result<Option<CreateChatPayload>> {
        let chat = ctx.state().chats.create(ctx.viewer()?, input.parse("")?).await?;
        Ok(Some(CreateChatPayload { chat: Chat::new(chat) }))
    }

    /// Changes a chat.
    async fn update_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `updateChat`.")] input: UpdateChatInput,
    ) -> Result<Option<UpdateChatPayload>> {
        let viewer = ctx.viewer()?;
        let changes = ChatChanges {
            title: change(input.title),
            model_id: change(input.model_id.map_value(|id| id.0)),
            character_id: match change(input.character_id) {
                Change::Set(id) => Change::Set(ids::parse(&id, "characterId")?),
                Change::Clear => Change::Clear,
                Change::Keep => Change::Keep,
            },
            is_pinned: change(input.is_pinned),
            is_archived: change(input.is_archived),
        };
        let chat = ctx.state().chats.update(viewer, ids::parse(&input.chat_id, "chatId")?, changes).await?;
        Ok(Some(UpdateChatPayload { chat: Chat::new(chat) }))
    }

    /// Deletes a chat and all its messages permanently. A reply in it that is STREAMING is stopped.
    async fn delete_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteChat`.")] input: DeleteChatInput,
    ) -> Result<Option<DeleteChatPayload>> {
        let viewer = ctx.viewer()?;
        ctx.state().chats.delete(viewer, ids::parse(&input.chat_id, "chatId")?).await?;
        Ok(Some(DeleteChatPayload { chat_id: input.chat_id }))
    }
}
