//! Reading other people's chats, for admins. Whatever is read here is in the audit log before it is answered.

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
    /// A page of everybody's chats, or of one user's, newest activity first.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without CHATS_READ; as everywhere below.
    pub async fn page_of_others(
        &self,
        viewer: &Viewer,
        client: &Client,
        owner: Option<UserId>,
        window: Window<Place>,
    ) -> Result<(Page<chat::Model>, ChatAccess)> {
        let access = ChatAccess::everybodys(viewer)?;
        let page = storage::chats::page(self.db.reader(), access.readable(), &owned_by(owner), window).await?;
        let entry = self.audit(Action::ChatsListed, viewer, client);
        let entry = match owner {
            Some(owner) => entry.on(owner),
            None => entry,
        };
        self.record(entry.detail(json!({ "chatCount": page.rows.len() }))).await?;
        Ok((page, access))
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
        self.record(entry.detail(json!({ "ownerId": chat.owner_id }))).await?;
        Ok(Some((chat, access)))
    }

    fn audit(&self, action: Action, viewer: &Viewer, client: &Client) -> Entry {
        Entry::new(action, &self.ids, self.clock.now()).by(viewer.user_id).from(client.ip)
    }

    async fn record(&self, entry: Entry) -> Result<()> {
        let tx = self.db.begin().await?;
        audit::record(&tx, entry).await?;
        Ok(tx.commit().await?)
    }
}

fn owned_by(owner_id: Option<UserId>) -> Filter {
    Filter { owner_id, ..Filter::default() }
}
