//! The mutations of this slice.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::Chat;
use crate::domain::Result;
use crate::domain::chats::{ChatChanges, NewChat};
use crate::domain::input::Change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// A chat to be made.
#[derive(Debug, Clone, InputObject)]
pub struct CreateChatInput {
    /// Whom it is with; absent is the bare model. The character's greeting becomes the first message.
    pub character_id: Option<ID>,
    /// Its title, 1 to 200 characters.
    pub title: Option<String>,
    /// The model of its replies; absent is the character's, or the server's default.
    pub model_id: Option<ID>,
    /// The same key with the same input answers the first call's chat again, for 24 hours. 1 to 255 characters.
    pub idempotency_key: Option<String>,
}

impl CreateChatInput {
    /// Reads the ids. `prefix` is the path to the input.
    pub(in crate::graphql) fn parse(self, prefix: &str) -> Result<NewChat> {
        Ok(NewChat {
            character_id: ids::parse_optional(self.character_id.as_ref(), &format!("{prefix}characterId"))?,
            title: self.title,
            model_id: self.model_id.map(|id| id.0),
            idempotency_key: self.idempotency_key,
        })
    }
}

/// What an update changes: an absent field stays, null clears it.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateChatInput {
    /// The chat.
    chat_id: ID,
    /// Its title, 1 to 200 characters.
    title: MaybeUndefined<String>,
    /// The model of its next replies; cannot be null.
    model_id: MaybeUndefined<ID>,
    /// Whom it is with from now on; null is the bare model.
    character_id: MaybeUndefined<ID>,
    /// Whether it is kept on top; cannot be null.
    is_pinned: MaybeUndefined<bool>,
    /// Whether it is put away; cannot be null.
    is_archived: MaybeUndefined<bool>,
}

/// The chat to delete.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteChatInput {
    /// The chat.
    chat_id: ID,
}

/// What `createChat` made.
#[derive(Debug, SimpleObject)]
pub struct CreateChatPayload {
    /// The new chat.
    chat: Chat,
}

/// What `updateChat` changed.
#[derive(Debug, SimpleObject)]
pub struct UpdateChatPayload {
    /// The chat as it is now.
    chat: Chat,
}

/// What `deleteChat` removed.
#[derive(Debug, SimpleObject)]
pub struct DeleteChatPayload {
    /// The id of the chat that is gone.
    chat_id: ID,
}

/// The mutations of this slice.
#[derive(Debug, Default)]
pub struct ChatMutations;

#[Object]
impl ChatMutations {
    /// Makes a chat.
    async fn create_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat to be made.")] input: CreateChatInput,
    ) -> Result<Option<CreateChatPayload>> {
        let chat = ctx.state().chats.create(ctx.viewer()?, input.parse("")?).await?;
        Ok(Some(CreateChatPayload { chat: Chat::new(chat) }))
    }

    /// Changes a chat.
    async fn update_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat, and what changes.")] input: UpdateChatInput,
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

    /// Deletes a chat with all its messages, for good. A reply that is being written in it stops.
    async fn delete_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat to delete.")] input: DeleteChatInput,
    ) -> Result<Option<DeleteChatPayload>> {
        let viewer = ctx.viewer()?;
        ctx.state().chats.delete(viewer, ids::parse(&input.chat_id, "chatId")?).await?;
        Ok(Some(DeleteChatPayload { chat_id: input.chat_id }))
    }
}

/// What a field of an update's input asks for.
pub fn change<T>(value: MaybeUndefined<T>) -> Change<T> {
    match value {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::Clear,
        MaybeUndefined::Value(value) => Change::Set(value),
    }
}
