//! Reading other people's chats, for admins. A list is in the audit log before it is answered, and so is each chat of
//! which messages are read.

use serde_json::json;

use crate::domain::audit::{self, Action, Entry};
use crate::domain::chats::Chats;
use crate::domain::{ChatAccess, Client, Result, Viewer};
use crate::entity::chat;
use crate::entity::ids::{ChatId, UserId};
use crate::storage;
use crate::storage::chats::{Filter, Place};
use crate::storage::page::{Page, Window};

impl Chats {
    /// A page of everybody's chats, or of one user's, newest activity first, without their messages.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without CHATS_READ; as everywhere below.
    pub async fn page_of_others(
        &self,
        viewer: &Viewer,
        client: &Client,
        owner: Option<UserId>,
        window: Window<Place>,
    ) -> Result<Page<chat::Model>> {
        let access = ChatAccess::everybodys(viewer)?;
        let page = storage::chats::page(self.db.reader(), access.readable(), &owned_by(owner), window).await?;
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

    /// Opens chats that were listed: the right to read their messages.
    pub async fn open_listed(
        &self,
        viewer: &Viewer,
        client: &Client,
        chats: &[(ChatId, UserId)],
    ) -> Result<ChatAccess> {
        let access = ChatAccess::everybodys(viewer)?;
        let entry = |&(id, owner_id)| {
            self.audit(Action::ChatRead, viewer, client).on(id).detail(json!({ "ownerId": owner_id }))
        };
        self.record(chats.iter().map(entry).collect()).await?;
        Ok(access)
    }

    /// How many chats there are, or how many one user has.
    pub async fn count_of_others(&self, viewer: &Viewer, owner: Option<UserId>) -> Result<u64> {
        let access = ChatAccess::everybodys(viewer)?;
        Ok(storage::chats::count(self.db.reader(), access.readable(), &owned_by(owner)).await?)
    }

    /// Anybody's chat.
    pub async fn find_of_others(
        &self,
        viewer: &Viewer,
        client: &Client,
        id: ChatId,
    ) -> Result<Option<(chat::Model, ChatAccess)>> {
        let access = ChatAccess::everybodys(viewer)?;
        let Some(chat) = self.find_all(access, &[id]).await?.pop() else { return Ok(None) };
        let entry = self.audit(Action::ChatRead, viewer, client).on(id);
        self.record(vec![entry.detail(json!({ "ownerId": chat.owner_id }))]).await?;
        Ok(Some((chat, access)))
    }

    fn audit(&self, action: Action, viewer: &Viewer, client: &Client) -> Entry {
        Entry::new(action, &self.ids, self.clock.now()).by(viewer.user_id).from(client.ip)
    }

    async fn record(&self, entries: Vec<Entry>) -> Result<()> {
        let tx = self.db.begin().await?;
        audit::record_all(&tx, entries).await?;
        Ok(tx.commit().await?)
    }
}

fn owned_by(owner_id: Option<UserId>) -> Filter {
    Filter { owner_id, ..Filter::default() }
}
