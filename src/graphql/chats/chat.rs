//! Chats.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use tokio::sync::OnceCell;

use super::{ContextUsage, Message};
use crate::domain::branches::{BranchCursor, BranchQuery, unknown_cursor};
use crate::domain::input::search_key;
use crate::domain::{self, ChatAccess, ChatCursor, ContextQuery, Error, Result, Viewer};
use crate::entity::{chat, message};
use crate::graphql::accounts::User;
use crate::graphql::characters::Character;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::{Opened, Within};
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::DateTime;
use crate::graphql::server::Model;

/// A chat of one user with a character, or with a model alone.
#[derive(Debug, Clone)]
pub struct Chat {
    row: chat::Model,
    access: Access,
}

/// The access with which a chat is read.
#[derive(Debug, Clone)]
enum Access {
    /// The chat belongs to the viewer.
    Own,
    /// The chat was found with this access.
    Found(ChatAccess),
    /// The chat was found in a list of chats of other users. Reading its messages requires access that is acquired
    /// once, and audited.
    Listed(OnceCell<ChatAccess>),
}

impl Chat {
    /// Creates a chat of the viewer.
    pub fn new(row: chat::Model) -> Self {
        Self { row, access: Access::Own }
    }

    /// Creates a chat that was found with this access. Its fields are looked up with the same access.
    pub fn found(row: chat::Model, access: ChatAccess) -> Self {
        Self { row, access: Access::Found(access) }
    }

    /// Creates a chat of another user in a list. The access to its messages is written to the audit log before they are
    /// read.
    pub fn listed(row: chat::Model) -> Self {
        Self { row, access: Access::Listed(OnceCell::new()) }
    }

    async fn access(&self, ctx: &Context<'_>) -> Result<ChatAccess> {
        match &self.access {
            Access::Own => Ok(ctx.viewer()?.into()),
            Access::Found(access) => Ok(*access),
            Access::Listed(opened) => {
                let open = async || {
                    let access = ctx.loaders().load_one(Opened(self.row.id, self.row.owner_id)).await?;
                    access.ok_or_else(|| Error::internal("a listed chat that does not open"))
                };
                opened.get_or_try_init(open).await.copied()
            }
        }
    }
}

/// A chat of one user with a character, or with a model alone.
#[Object]
impl Chat {
    /// The chat's ID, with the prefix `chat`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// The title that the user has set. Otherwise, an excerpt of the first message, set by the first COMPLETE reply.
    /// The chat's model then writes a title in the background, once; this call counts as usage. The excerpt remains if
    /// the call fails or the model is a demo model. Null before the first COMPLETE reply, and if the user removed it.
    async fn title(&self) -> Option<&str> {
        self.row.title.as_deref()
    }

    /// The user who owns the chat.
    async fn owner(&self, ctx: &Context<'_>) -> Result<User> {
        let owner = ctx.loaders().load_one(self.row.owner_id).await?;
        owner.map(User::from).ok_or_else(|| Error::internal("a chat without its owner"))
    }

    /// The character this chat is with. Null if the chat is with a model alone, or if the character was deleted or is
    /// not visible to the viewer.
    async fn character(&self, ctx: &Context<'_>) -> Result<Option<Character>> {
        let Some(id) = self.row.character_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(Character))
    }

    /// The ID of the model that the next reply uses.
    async fn model_id(&self) -> ID {
        ids::show(&self.row.model_id)
    }

    /// The model that the next reply uses. Null if it is no longer configured.
    async fn model(&self, ctx: &Context<'_>) -> Option<Model> {
        let models = &ctx.state().models;
        models.get(&self.row.model_id).map(|model| Model::new(&model, models))
    }

    /// Whether the owner has pinned the chat.
    async fn is_pinned(&self) -> bool {
        self.row.is_pinned
    }

    /// Whether the owner has archived the chat.
    async fn is_archived(&self) -> bool {
        self.row.is_archived
    }

    /// The time when the chat was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The time of the last change of the title, character, model or flags, or of the latest activity, whichever is
    /// later.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.row.updated_at.max(self.row.active_at))
    }

    /// The number of messages in the whole tree, including the character's greeting.
    async fn message_count(&self) -> i32 {
        self.row.message_count
    }

    /// The last message of the active branch. Null if the chat is empty.
    async fn last_message(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        let Some(id) = self.row.leaf_id else { return Ok(None) };
        let access = self.access(ctx).await?;
        Ok(ctx.loaders().load_one(Within(access, id)).await?.map(|row| Message::found(row, access)))
    }

    /// How much of the model's context window the active branch uses. Null if the model is no longer configured.
    async fn context_usage(&self, ctx: &Context<'_>) -> Result<Option<ContextUsage>> {
        let access = self.access(ctx).await?;
        let query = ContextQuery {
            chat_id: self.row.id,
            owner_id: self.row.owner_id,
            character_id: self.row.character_id,
            model_id: self.row.model_id.clone(),
            leaf_id: self.row.leaf_id,
        };
        Ok(ctx.loaders().load_one(Within(access, query)).await?.map(ContextUsage::from))
    }

    /// The messages of one branch, oldest first: the active branch or, if `branch` is given, the branch that contains
    /// this message, which does not become the active one. A cursor stays on the branch for which it was returned, even
    /// if another branch becomes active. Without arguments, returns the newest 20 messages.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "The ID of any message of the branch. Its newest descendant is the last message of the branch. The list is empty if the chat has no such message."
        )]
        branch: Option<ID>,
    ) -> Result<Connection<Message>> {
        let access = self.access(ctx).await?;
        let window = PageArguments { first, after, last, before }.window::<BranchCursor>(true)?;
        let through = ids::parse_optional(branch.as_ref(), "branch")?;
        let query = BranchQuery { chat_id: self.row.id, leaf_id: self.row.leaf_id, through, window };
        let branch = ctx.loaders().load_one(Within(access, query)).await?.ok_or_else(unknown_cursor)?;
        let leaf_id = branch.leaf_id;
        let cursor = move |message: &Arc<message::Model>| BranchCursor {
            id: message.id,
            depth: message.depth,
            leaf_id: leaf_id.unwrap_or(message.id),
        };
        let total = u64::try_from(branch.total).ok();
        Ok(Connection::new(branch.page.clone(), cursor, |row| Message::found(row, access), total))
    }
}

/// A filter for chats. A chat must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ChatFilter {
    /// Text contained in the title, ignoring case.
    pub query: Option<String>,
    /// Whether the chat is archived.
    pub is_archived: Option<bool>,
    /// Whether the chat is pinned.
    pub is_pinned: Option<bool>,
    /// The ID of the character of the chat.
    pub character_id: Option<ID>,
}

impl ChatFilter {
    fn parse(self) -> Result<domain::ChatFilter> {
        Ok(domain::ChatFilter {
            owner_id: None,
            title_key: search_key("filter.query", self.query.as_deref())?,
            is_archived: self.is_archived,
            is_pinned: self.is_pinned,
            character_id: ids::parse_optional(self.character_id.as_ref(), "filter.characterId")?,
        })
    }
}

/// A page of the viewer's chats, latest activity first.
///
/// # Errors
/// For invalid page arguments, for an invalid filter, and if the database fails.
pub async fn page(
    ctx: &Context<'_>,
    viewer: &Viewer,
    arguments: PageArguments,
    filter: Option<ChatFilter>,
) -> Result<Connection<Chat>> {
    let window = arguments.window::<ChatCursor>(false)?;
    let filter = filter.unwrap_or_default().parse()?;
    let (chats, access) = (&ctx.state().chats, ChatAccess::from(viewer));
    ctx.budget().statements(1)?;
    let page = chats.page(viewer, &filter, window).await?;
    let total = total_if_requested(ctx, chats.count(viewer, &filter)).await?;
    Ok(Connection::new(page, |chat| ChatCursor::from(chat), |chat| Chat::found(chat, access), total))
}

/// The queries of chats.
#[derive(Debug, Default)]
pub struct ChatQueries;

#[Object]
impl ChatQueries {
    /// Looks up a chat of the viewer. Null if the viewer has no chat with this ID; INVALID_INPUT for a malformed ID or
    /// an ID of another type.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The ID of the chat.")] id: ID) -> Result<Option<Chat>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&id, "id")?);
        Ok(ctx.state().chats.find(viewer, id).await?.map(Chat::new))
    }
}
