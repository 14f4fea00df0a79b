//! Objects with a global ID (Relay's global object identification).

use async_graphql::{Context, ID, Interface, Object};
use futures_util::future::join_all;

use crate::domain::accounts::is_visible;
use crate::domain::{Error, FieldErrorCode, Result};
use crate::entity::ids::{
    AuditEntryId, CharacterId, ChatId, ConversationId, DirectMessageId, MessageId, PersonalAccessTokenId, PromptId,
    RoleId, SessionId, ToolCallId, UserId, parse_any,
};
use crate::graphql::accounts::{PersonalAccessToken, Role, Session, User};
use crate::graphql::admin::AuditEntry;
use crate::graphql::budget::List;
use crate::graphql::characters::Character;
use crate::graphql::chats::{Chat, Message, ToolCall};
use crate::graphql::context::ContextExt as _;
use crate::graphql::direct_messages::{Conversation, DirectMessage};
use crate::graphql::ids;
use crate::graphql::loaders::Within;
use crate::graphql::prompts::Prompt;

/// The maximum number of IDs in one call.
const MAX_IDS: usize = 100;

/// An object with a global ID.
#[derive(Debug, Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The object's ID: a type prefix and a UUIDv7, as defined by the TypeID specification. Opaque."
))]
pub enum Node {
    /// A user.
    User(User),
    /// A session.
    Session(Session),
    /// A personal access token.
    PersonalAccessToken(PersonalAccessToken),
    /// A role.
    Role(Role),
    /// A character.
    Character(Character),
    /// A prompt.
    Prompt(Prompt),
    /// A chat.
    Chat(Chat),
    /// A message.
    Message(Message),
    /// A conversation between two users.
    Conversation(Conversation),
    /// A direct message.
    DirectMessage(DirectMessage),
    /// An entry of the audit log.
    AuditEntry(AuditEntry),
    /// A tool call.
    ToolCall(ToolCall),
}

/// The queries by ID.
#[derive(Debug, Default)]
pub struct NodeQueries;

#[Object]
impl NodeQueries {
    /// Looks up an object by ID. Null if it does not exist or is not visible to the viewer; INVALID_INPUT for a
    /// malformed ID.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The ID of the object.")] id: ID) -> Result<Option<Node>> {
        find(ctx, &id, "id").await
    }

    /// Looks up several objects by ID, in the order of the IDs. An item is null if the object does not exist or is not
    /// visible to the viewer. INVALID_INPUT if an ID is malformed.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The IDs of the objects, at most 100.")] ids: Vec<ID>,
    ) -> Result<List<Option<Node>>> {
        if ids.len() > MAX_IDS {
            return Err(Error::invalid("ids", FieldErrorCode::TooLong, "At most 100 IDs."));
        }
        join_all(ids.iter().map(|id| find(ctx, id, "ids"))).await.into_iter().collect()
    }
}

async fn find(ctx: &Context<'_>, id: &ID, path: &str) -> Result<Option<Node>> {
    let viewer = ctx.viewer()?;
    let (prefix, uuid) = parse_any(id).map_err(|_| ids::malformed(path))?;
    Ok(match prefix.as_str() {
        UserId::PREFIX => {
            let user = ctx.loaders().load_one(UserId(uuid)).await?.filter(|user| is_visible(viewer, user));
            user.map(|user| Node::User(User::from(user)))
        }
        SessionId::PREFIX => {
            let session = ctx.loaders().load_one(SessionId(uuid)).await?;
            let is_current = viewer.session_id() == Some(SessionId(uuid));
            session.map(|row| Node::Session(Session { row, is_current }))
        }
        PersonalAccessTokenId::PREFIX => {
            let token = ctx.loaders().load_one(PersonalAccessTokenId(uuid)).await?;
            token.map(|token| Node::PersonalAccessToken(PersonalAccessToken(token)))
        }
        RoleId::PREFIX => ctx.loaders().load_one(RoleId(uuid)).await?.map(|role| Node::Role(Role(role))),
        CharacterId::PREFIX => {
            let character = ctx.loaders().load_one(CharacterId(uuid)).await?;
            character.map(|character| Node::Character(Character(character)))
        }
        PromptId::PREFIX => ctx.loaders().load_one(PromptId(uuid)).await?.map(|prompt| Node::Prompt(Prompt(prompt))),
        ChatId::PREFIX => {
            let chat = ctx.loaders().load_one(Within(viewer.into(), ChatId(uuid))).await?;
            chat.map(|chat| Node::Chat(Chat::new(chat)))
        }
        MessageId::PREFIX => {
            let message = ctx.loaders().load_one(Within(viewer.into(), MessageId(uuid))).await?;
            message.map(|message| Node::Message(Message::new(message)))
        }
        ConversationId::PREFIX => {
            ctx.loaders().load_one(ConversationId(uuid)).await?.map(|row| Node::Conversation(Conversation(row)))
        }
        DirectMessageId::PREFIX => {
            ctx.loaders().load_one(DirectMessageId(uuid)).await?.map(|row| Node::DirectMessage(DirectMessage(row)))
        }
        AuditEntryId::PREFIX => {
            let entry = ctx.loaders().load_one(AuditEntryId(uuid)).await?;
            entry.map(|entry| Node::AuditEntry(AuditEntry(entry)))
        }
        ToolCallId::PREFIX => {
            ctx.loaders().load_one(ToolCallId(uuid)).await?.map(|call| Node::ToolCall(ToolCall(call)))
        }
        _ => return Err(ids::malformed(path)),
    })
}
