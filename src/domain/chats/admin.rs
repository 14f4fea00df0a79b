//! Access of admins to the chats of other users. Lists, single chats, and listed chats whose messages
//! are read are first recorded in the audit log.

use serde_json::json;

use super::{ChatAccess, Chats};
use crate::domain::audit::{self, Action, Entry};
use crate::domain::{Client, Result, Viewer};
use crate::entity::chat;
use crate::entity::ids::{ChatId, UserId};
use crate::storage;
use crate::storage::chats::{ChatCursor, Filter};
use crate::storage::page::{Page, Window};

impl Chats {
    /// A page of the chats of all users or of one user, most recently active first, without messages.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without CHATS_READ. The same holds for the methods below.
    pub async fn page_of_others(
        &self,
        viewer: &Viewer,
        client: &Client,
        owner: Option<UserId>,
        window: Window<ChatCursor>,
    ) -> Result<Page<chat::Model>> {
        let access = ChatAccess::of_all_users(viewer)?;
        let page = storage::chats::page(self.database.reader(), access.readable(), &owned_by(owner), window).await?;
        let entry = self.audit(Action::ChatsListed, viewer, client);
        let entry = match owner {
            Some(owner) => entry.on(owner),
            None => entry,
        };
        let mut owners: Vec<UserId> = page.rows.iter().map(|chat| chat.owner_id).collect();
        owners.sort_unstable();
        owners.dedup();
        let detail = json!({ "chatCount": page.rows.len(), "ownerIds": owners });
        self.record(vec![entry.detail(detail)]).await?;
        Ok(page)
    }

    /// Grants access to the messages of chats that were listed, and records it.
    pub async fn open_listed(
        &self,
        viewer: &Viewer,
        client: &Client,
        chats: &[(ChatId, UserId)],
    ) -> Result<ChatAccess> {
        let access = ChatAccess::of_all_users(viewer)?;
        let entry = |&(id, owner_id)| {
            self.audit(Action::ChatRead, viewer, client).on(id).detail(json!({ "ownerId": owner_id }))
        };
        self.record(chats.iter().map(entry).collect()).await?;
        Ok(access)
    }

    /// The number of chats of all users or of one user.
    pub async fn count_of_others(&self, viewer: &Viewer, owner: Option<UserId>) -> Result<u64> {
        let access = ChatAccess::of_all_users(viewer)?;
        Ok(storage::chats::count(self.database.reader(), access.readable(), &owned_by(owner)).await?)
    }

    /// A chat of any user.
    pub async fn find_of_others(
        &self,
        viewer: &Viewer,
        client: &Client,
        id: ChatId,
    ) -> Result<Option<(chat::Model, ChatAccess)>> {
        let access = ChatAccess::of_all_users(viewer)?;
        let Some(chat) = self.find_all(access, &[id]).await?.pop() else { return Ok(None) };
        let entry = self.audit(Action::ChatRead, viewer, client).on(id);
        self.record(vec![entry.detail(json!({ "ownerId": chat.owner_id }))]).await?;
        Ok(Some((chat, access)))
    }

    fn audit(&self, action: Action, viewer: &Viewer, client: &Client) -> Entry {
        Entry::new(action, &self.ids, self.clock.now()).by(viewer.user_id).from(client.ip)
    }

    async fn record(&self, entries: Vec<Entry>) -> Result<()> {
        let transaction = self.database.begin().await?;
        audit::record_all(&transaction, entries).await?;
        Ok(transaction.commit().await?)
    }
}

fn owned_by(owner_id: Option<UserId>) -> Filter {
    Filter { owner_id, ..Filter::default() }
}
