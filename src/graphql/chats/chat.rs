//! The type `Chat`.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use tokio::sync::OnceCell;

use super::Message;
use crate::domain::branches::{BranchCursor, BranchQuery, unknown_cursor};
use crate::domain::input::search_key;
use crate::domain::{ChatAccess, Error, Result, Viewer};
use crate::entity::{chat, message};
use crate::graphql::accounts::User;
use crate::graphql::characters::Character;
use crate::graphql::context::{ContextExt as _, State};
use crate::graphql::ids;
use crate::graphql::loaders::{Opened, Within};
use crate::graphql::pagination::{Connection, PageArguments, Total};
use crate::graphql::scalars::DateTime;
use crate::graphql::server::Model;
use crate::storage::chats::{ChatCursor, Filter};

/// A talk of one user with a character, or with a bare model.
#[derive(Debug, Clone)]
pub struct Chat {
    row: chat::Model,
    access: Access,
}

/// With what a chat is read.
#[derive(Debug, Clone)]
enum Access {
    /// It is the viewer's own.
    Own,
    /// It was found with this.
    Found(ChatAccess),
    /// It stands in a list of other people's chats: to read its messages is to open it, once.
    Listed(OnceCell<ChatAccess>),
}

impl Chat {
    /// A chat of the viewer.
    pub fn new(row: chat::Model) -> Self {
        Self { row, access: Access::Own }
    }

    /// A chat that was found with this access: what is asked for below it is looked up with the same.
    pub fn found(row: chat::Model, access: ChatAccess) -> Self {
        Self { row, access: Access::Found(access) }
    }

    /// A chat of somebody else in a list. That its messages are read is in the audit log before they are.
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

/// A talk of one user with a character, or with a bare model.
#[Object]
impl Chat {
    /// Its id, with the prefix `chat`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// Its title; null until somebody gives it one.
    async fn title(&self) -> Option<&str> {
        self.row.title.as_deref()
    }

    /// Whose it is.
    async fn owner(&self, ctx: &Context<'_>) -> Result<User> {
        let owner = ctx.loaders().load_one(self.row.owner_id).await?;
        owner.map(User::from).ok_or_else(|| Error::internal("a chat without its owner"))
    }

    /// Whom it is with. Null for a bare model, and when the character is gone or no longer visible to the viewer.
    async fn character(&self, ctx: &Context<'_>) -> Result<Option<Character>> {
        let Some(id) = self.row.character_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(Character))
    }

    /// The id of the model that the next reply uses.
    async fn model_id(&self) -> ID {
        ids::show(&self.row.model_id)
    }

    /// The model that the next reply uses; null when it is no longer configured.
    async fn model(&self, ctx: &Context<'_>) -> Option<Model> {
        let models = &ctx.state().models;
        models.get(&self.row.model_id).map(|model| Model::new(&model, models))
    }

    /// Whether its owner keeps it on top.
    async fn is_pinned(&self) -> bool {
        self.row.is_pinned
    }

    /// Whether its owner put it away.
    async fn is_archived(&self) -> bool {
        self.row.is_archived
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When its title, character, model or flags last changed, or when it was last talked in, whichever is later.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.row.updated_at.max(self.row.active_at))
    }

    /// How many messages its whole tree holds, the character's greeting included.
    async fn message_count(&self) -> i32 {
        self.row.message_count
    }

    /// The end of the active branch; null while the chat is empty.
    async fn last_message(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        let Some(id) = self.row.leaf_id else { return Ok(None) };
        let access = self.access(ctx).await?;
        Ok(ctx.loaders().load_one(Within(access, id)).await?.map(|row| Message::found(row, access)))
    }

    /// One branch, oldest first: the active one, or the one through the message `branch`, without selecting it. A cursor
    /// pages its own branch. Without arguments these are the newest 20 messages.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning, at most 100; not together with `last`.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, at most 100; not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "Any message of the wanted branch; its newest descendant is the end of that branch. The list is empty when the chat has no such message."
        )]
        branch: Option<ID>,
    ) -> Result<Connection<Message>> {
        let access = self.access(ctx).await?;
        let window = PageArguments { first, after, last, before }.window::<BranchCursor>(true)?;
        let through = ids::parse_optional(branch.as_ref(), "branch")?;
        let query = BranchQuery { chat_id: self.row.id, leaf_id: self.row.leaf_id, through, window };
        let branch = ctx.loaders().load_one(Within(access, query)).await?.ok_or_else(unknown_cursor)?;
        let leaf_id = branch.leaf_id;
        let place = move |message: &Arc<message::Model>| BranchCursor {
            id: message.id,
            depth: message.depth,
            leaf_id: leaf_id.unwrap_or(message.id),
        };
        let total = Total::Known(u64::try_from(branch.total).unwrap_or(0));
        Ok(Connection::new(branch.page.clone(), place, |row| Message::found(row, access), total))
    }
}

/// Which chats are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ChatFilter {
    /// Text that the title holds, in any case.
    pub query: Option<String>,
    /// Put away (true) or not (false).
    pub is_archived: Option<bool>,
    /// Kept on top (true) or not (false).
    pub is_pinned: Option<bool>,
    /// With this character.
    pub character_id: Option<ID>,
}

impl ChatFilter {
    fn parse(self) -> Result<Filter> {
        Ok(Filter {
            owner_id: None,
            title_key: search_key("filter.query", self.query.as_deref())?,
            is_archived: self.is_archived,
            is_pinned: self.is_pinned,
            character_id: ids::parse_optional(self.character_id.as_ref(), "filter.characterId")?,
        })
    }
}

/// A page of the viewer's chats, newest activity first.
///
/// # Errors
/// For page arguments or a filter that are not valid, and when the database fails.
pub async fn page(
    state: &State,
    viewer: &Viewer,
    arguments: PageArguments,
    filter: Option<ChatFilter>,
) -> Result<Connection<Chat>> {
    let window = arguments.window::<ChatCursor>(false)?;
    let filter = filter.unwrap_or_default().parse()?;
    let access = ChatAccess::from(viewer);
    let page = state.chats.page(viewer, &filter, window).await?;
    let (chats, viewer) = (state.chats.clone(), viewer.clone());
    let total = Arc::new(move || -> futures_util::future::BoxFuture<'static, _> {
        let (chats, viewer, filter) = (chats.clone(), viewer.clone(), filter.clone());
        Box::pin(async move { chats.count(&viewer, &filter).await })
    });
    Ok(Connection::new(page, |chat| ChatCursor::from(chat), |chat| Chat::found(chat, access), Total::Counted(total)))
}
