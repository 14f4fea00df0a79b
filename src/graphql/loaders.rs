//! Loaders, which batch the lookups of one request: the number of statements for a page does not depend on its size.
//! Keys are looked up for the viewer of the request. The keys of chats and messages contain the access to the chat, so
//! that a loader cannot return rows to another viewer. Lookups are charged to the request's budget. Messages are
//! shared, because their texts may be long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chrono::{DateTime, Utc};

use crate::domain::branches::{BranchPage, BranchQuery, MAX_BRANCH_STATEMENTS, MAX_BRANCHES};
use crate::domain::context::{MAX_CONTEXT_STATEMENTS, MAX_CONTEXTS};
use crate::domain::usage::{Quota, UserStats};
use crate::domain::{ChatAccess, ContextQuery, ContextUsage, Error, Result, Viewer};
use crate::entity::ids::{CharacterId, ChatId, MessageId, PromptId, UserId};
use crate::entity::{character, chat, message, personal_access_token, role, session, user};
use crate::graphql::budget::Budget;
use crate::graphql::context::{Loaders, State};
use crate::graphql::execution::Caller;
use crate::graphql::loads::Loads;

/// The data source of the loaders: the application state, the caller and the budget.
pub struct Source {
    pub(super) state: State,
    pub(super) caller: Caller,
    pub(super) budget: Arc<Budget>,
}

/// The approximate memory size of a row without its long texts, in bytes.
pub const ROW: usize = 256;

/// A key of a chat or an object in a chat, with the access to the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Within<K>(pub ChatAccess, pub K);

/// The access to a chat of another user that was found in a list. Loading it is audited as an access to the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opened(pub ChatId, pub UserId);

/// The child messages of this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChildrenOf(pub MessageId);

/// The messages of this chat that have no parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootsOf(pub ChatId);

/// The tags of this character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagsOf(pub CharacterId);

/// The tags of this prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PromptTagsOf(pub PromptId);

/// The roles of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RolesOf(pub UserId);

/// The time until which this user is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockOf(pub UserId);

/// The sessions of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionsOf(pub UserId);

/// The personal access tokens of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokensOf(pub UserId);

/// The statistics of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatsOf(pub UserId);

/// The quota of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaOf(pub UserId);

/// Creates the loaders of one request, which run among its `loads`. The delay is zero: when a load runs, all keys of
/// the current level of the document have been requested.
pub fn make(state: State, caller: Caller, budget: Arc<Budget>, loads: Loads) -> Loaders {
    let spawn = move |load| loads.push(load);
    DataLoader::new(Source { state, caller, budget }, spawn).delay(Duration::ZERO)
}

impl Source {
    /// Charges a statement, and returns the viewer for whom it is made.
    pub(super) fn statement(&self) -> Result<&Viewer, Error> {
        self.budget.statements(1)?;
        self.caller.requester.viewer()
    }

    /// Charges the rows of a statement.
    pub(super) fn rows<T>(&self, rows: Vec<T>) -> Result<Vec<T>, Error> {
        self.budget.bytes(rows.len() * ROW)?;
        Ok(rows)
    }

    fn messages(&self, rows: Vec<message::Model>) -> Result<Vec<Arc<message::Model>>, Error> {
        self.budget.bytes(rows.iter().map(size_of_message).sum())?;
        Ok(rows.into_iter().map(Arc::new).collect())
    }
}

/// There are at most two groups: the viewer's own chats and, for an admin, the chats of all users.
fn by_access<K: Clone>(keys: &[Within<K>]) -> HashMap<ChatAccess, Vec<K>> {
    let mut groups = HashMap::new();
    for Within(access, key) in keys {
        groups.entry(*access).or_insert_with(Vec::new).push(key.clone());
    }
    groups
}

impl Loader<UserId> for Source {
    type Value = user::Model;
    type Error = Error;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, user::Model>, Error> {
        self.statement()?;
        let users = self.rows(self.state.accounts.users_by_ids(ids).await?)?;
        Ok(users.into_iter().map(|user| (user.id, user)).collect())
    }
}

impl Loader<RolesOf> for Source {
    type Value = Vec<role::Model>;
    type Error = Error;

    async fn load(&self, users: &[RolesOf]) -> Result<HashMap<RolesOf, Vec<role::Model>>, Error> {
        self.statement()?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let mut roles = HashMap::new();
        for (user, role) in self.rows(self.state.accounts.roles_of(&ids).await?)? {
            roles.entry(RolesOf(user)).or_insert_with(Vec::new).push(role);
        }
        Ok(roles)
    }
}

impl Loader<LockOf> for Source {
    type Value = DateTime<Utc>;
    type Error = Error;

    async fn load(&self, users: &[LockOf]) -> Result<HashMap<LockOf, DateTime<Utc>>, Error> {
        self.statement()?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let locks = self.rows(self.state.accounts.locked_until(&ids).await?)?;
        Ok(locks.into_iter().map(|(user, until)| (LockOf(user), until)).collect())
    }
}

impl Loader<SessionsOf> for Source {
    type Value = Vec<session::Model>;
    type Error = Error;

    async fn load(&self, users: &[SessionsOf]) -> Result<HashMap<SessionsOf, Vec<session::Model>>, Error> {
        self.statement()?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let mut sessions = HashMap::new();
        for session in self.rows(self.state.accounts.sessions_of(&ids).await?)? {
            sessions.entry(SessionsOf(session.user_id)).or_insert_with(Vec::new).push(session);
        }
        Ok(sessions)
    }
}

impl Loader<TokensOf> for Source {
    type Value = Vec<personal_access_token::Model>;
    type Error = Error;

    async fn load(&self, users: &[TokensOf]) -> Result<HashMap<TokensOf, Vec<personal_access_token::Model>>, Error> {
        self.statement()?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let mut tokens = HashMap::new();
        for token in self.rows(self.state.accounts.tokens_of(&ids).await?)? {
            tokens.entry(TokensOf(token.user_id)).or_insert_with(Vec::new).push(token);
        }
        Ok(tokens)
    }
}

impl Loader<StatsOf> for Source {
    type Value = UserStats;
    type Error = Error;

    async fn load(&self, users: &[StatsOf]) -> Result<HashMap<StatsOf, UserStats>, Error> {
        self.caller.requester.viewer()?;
        self.budget.statements(2)?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let stats = self.state.usage.stats_of(&ids).await?;
        self.budget.bytes(stats.len() * ROW)?;
        Ok(stats.into_iter().map(|(user, stats)| (StatsOf(user), stats)).collect())
    }
}

impl Loader<QuotaOf> for Source {
    type Value = Quota;
    type Error = Error;

    async fn load(&self, users: &[QuotaOf]) -> Result<HashMap<QuotaOf, Quota>, Error> {
        self.caller.requester.viewer()?;
        self.budget.statements(2)?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let quotas = self.state.usage.quotas_of(&ids).await?;
        self.budget.bytes(quotas.len() * ROW)?;
        Ok(quotas.into_iter().map(|(user, quota)| (QuotaOf(user), quota)).collect())
    }
}

impl Loader<CharacterId> for Source {
    type Value = character::Model;
    type Error = Error;

    async fn load(&self, ids: &[CharacterId]) -> Result<HashMap<CharacterId, character::Model>, Error> {
        let characters = self.state.characters.find_all(self.statement()?, ids).await?;
        let characters = self.rows(characters)?;
        Ok(characters.into_iter().map(|character| (character.id, character)).collect())
    }
}

impl Loader<TagsOf> for Source {
    type Value = Vec<String>;
    type Error = Error;

    async fn load(&self, characters: &[TagsOf]) -> Result<HashMap<TagsOf, Vec<String>>, Error> {
        self.statement()?;
        let ids: Vec<CharacterId> = characters.iter().map(|key| key.0).collect();
        let mut tags = HashMap::new();
        for (character, tag) in self.rows(self.state.characters.tags(&ids).await?)? {
            tags.entry(TagsOf(character)).or_insert_with(Vec::new).push(tag);
        }
        Ok(tags)
    }
}

impl Loader<PromptTagsOf> for Source {
    type Value = Vec<String>;
    type Error = Error;

    async fn load(&self, prompts: &[PromptTagsOf]) -> Result<HashMap<PromptTagsOf, Vec<String>>, Error> {
        self.statement()?;
        let ids: Vec<PromptId> = prompts.iter().map(|key| key.0).collect();
        let mut tags = HashMap::new();
        for (prompt, tag) in self.rows(self.state.prompts.tags(&ids).await?)? {
            tags.entry(PromptTagsOf(prompt)).or_insert_with(Vec::new).push(tag);
        }
        Ok(tags)
    }
}

impl Loader<Within<ChatId>> for Source {
    type Value = chat::Model;
    type Error = Error;

    async fn load(&self, keys: &[Within<ChatId>]) -> Result<HashMap<Within<ChatId>, chat::Model>, Error> {
        let mut found = HashMap::new();
        for (access, ids) in by_access(keys) {
            self.statement()?;
            let chats = self.rows(self.state.chats.find_all(access, &ids).await?)?;
            found.extend(chats.into_iter().map(|chat| (Within(access, chat.id), chat)));
        }
        Ok(found)
    }
}

impl Loader<Opened> for Source {
    type Value = ChatAccess;
    type Error = Error;

    async fn load(&self, keys: &[Opened]) -> Result<HashMap<Opened, ChatAccess>, Error> {
        let viewer = self.statement()?;
        let chats: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let access = self.state.chats.open_listed(viewer, &self.caller.client, &chats).await?;
        Ok(keys.iter().map(|key| (*key, access)).collect())
    }
}

impl Loader<Within<MessageId>> for Source {
    type Value = Arc<message::Model>;
    type Error = Error;

    async fn load(&self, keys: &[Within<MessageId>]) -> Result<HashMap<Within<MessageId>, Self::Value>, Error> {
        let mut found = HashMap::new();
        for (access, ids) in by_access(keys) {
            // Usually each message fits into its share of the budget. Then the database needs no running total.
            self.statement()?;
            let share = self.budget.bytes_left() / ids.len().max(1) as u64;
            let short = self.messages(self.state.chats.short_messages(access, &ids, share).await?)?;
            found.extend(short.into_iter().map(|message| (Within(access, message.id), message)));
            let rest: Vec<_> = ids.into_iter().filter(|id| !found.contains_key(&Within(access, *id))).collect();
            if !rest.is_empty() {
                self.statement()?;
                let messages = self.state.chats.messages(access, &rest, self.budget.bytes_left()).await?;
                let messages = self.messages(messages)?;
                found.extend(messages.into_iter().map(|message| (Within(access, message.id), message)));
            }
        }
        Ok(found)
    }
}

impl Loader<Within<ChildrenOf>> for Source {
    type Value = Vec<Arc<message::Model>>;
    type Error = Error;

    async fn load(&self, keys: &[Within<ChildrenOf>]) -> Result<HashMap<Within<ChildrenOf>, Self::Value>, Error> {
        let mut children = HashMap::new();
        for (access, parents) in by_access(keys) {
            self.statement()?;
            let parents: Vec<MessageId> = parents.into_iter().map(|key| key.0).collect();
            let found = self.state.chats.children(access, &parents, self.budget.bytes_left()).await?;
            for child in self.messages(found)? {
                if let Some(parent) = child.parent_id {
                    children.entry(Within(access, ChildrenOf(parent))).or_insert_with(Vec::new).push(child);
                }
            }
        }
        Ok(children)
    }
}

impl Loader<Within<RootsOf>> for Source {
    type Value = Vec<Arc<message::Model>>;
    type Error = Error;

    async fn load(&self, keys: &[Within<RootsOf>]) -> Result<HashMap<Within<RootsOf>, Self::Value>, Error> {
        let mut roots = HashMap::new();
        for (access, chats) in by_access(keys) {
            self.statement()?;
            let chats: Vec<ChatId> = chats.into_iter().map(|key| key.0).collect();
            let found = self.state.chats.roots(access, &chats, self.budget.bytes_left()).await?;
            for root in self.messages(found)? {
                roots.entry(Within(access, RootsOf(root.chat_id))).or_insert_with(Vec::new).push(root);
            }
        }
        Ok(roots)
    }
}

impl Loader<Within<BranchQuery>> for Source {
    type Value = Arc<BranchPage>;
    type Error = Error;

    /// A query whose cursor is not of its list is absent from the result.
    async fn load(&self, keys: &[Within<BranchQuery>]) -> Result<HashMap<Within<BranchQuery>, Self::Value>, Error> {
        let mut pages = HashMap::new();
        for (access, queries) in by_access(keys) {
            self.caller.requester.viewer()?;
            for queries in queries.chunks(MAX_BRANCHES) {
                self.budget.statements(MAX_BRANCH_STATEMENTS)?;
                let found = self.state.chats.branches(access, queries, self.budget.bytes_left()).await?;
                self.budget.bytes(
                    found.iter().flatten().flat_map(|page| &page.page.rows).map(|row| size_of_message(row)).sum(),
                )?;
                let keys = queries.iter().map(|query| Within(access, query.clone()));
                pages.extend(keys.zip(found).filter_map(|(key, page)| Some((key, Arc::new(page?)))));
            }
        }
        Ok(pages)
    }
}

impl Loader<Within<ContextQuery>> for Source {
    type Value = ContextUsage;
    type Error = Error;

    /// A query whose model is no longer configured is absent from the result.
    async fn load(&self, keys: &[Within<ContextQuery>]) -> Result<HashMap<Within<ContextQuery>, Self::Value>, Error> {
        let mut usages = HashMap::new();
        for (access, queries) in by_access(keys) {
            self.caller.requester.viewer()?;
            for queries in queries.chunks(MAX_CONTEXTS) {
                self.budget.statements(MAX_CONTEXT_STATEMENTS)?;
                // Rows of branch ends, summaries, characters and owners.
                self.budget.bytes(4 * ROW * queries.len())?;
                let found = self.state.contexts.usages(access, queries).await?;
                let keys = queries.iter().map(|query| Within(access, query.clone()));
                usages.extend(keys.zip(found).filter_map(|(key, usage)| Some((key, usage?))));
            }
        }
        Ok(usages)
    }
}

/// The approximate memory size of a message, in bytes.
pub fn size_of_message(message: &message::Model) -> usize {
    ROW + message.body.len() + message.layout.as_ref().map_or(0, String::len)
}
