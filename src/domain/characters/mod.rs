//! Characters: which of them a viewer may see, creating, updating and deleting them. Public characters are visible to
//! everyone and written with CHARACTERS_WRITE. Private characters are visible to their owner only.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, IdGenerator};
use crate::domain::audit::{self, Action, Entry};
use crate::domain::input::{Checks, search_key};
use crate::domain::{Client, Error, FieldErrorCode, Registry, Result, Viewer, tags};
use crate::entity::character::Model;
use crate::entity::enums::Permission;
use crate::entity::ids::CharacterId;
use crate::storage::characters::{self as rows, CharacterCursor, Filter};
use crate::storage::page::{Page, Window};
use crate::storage::{Database, Transaction, users};

mod fields;

pub use fields::{CharacterChanges, NewCharacter};

/// The maximum number of private characters of a user.
pub const MAX_PRIVATE: u64 = 500;
/// Chats whose character a sweep removes in one transaction.
const SWEEP_BATCH: u64 = 500;

/// Reads and writes characters. Cheap to clone.
#[derive(Clone)]
pub struct Characters {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
    /// The models.
    pub models: Arc<Registry>,
}

impl Characters {
    /// A character that is visible to the viewer.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn find(&self, viewer: &Viewer, id: CharacterId) -> Result<Option<Model>> {
        find_in(self.database.reader(), viewer, id).await
    }

    /// Those of these characters that are visible to the viewer.
    pub async fn find_all(&self, viewer: &Viewer, ids: &[CharacterId]) -> Result<Vec<Model>> {
        Ok(rows::find_all(self.database.reader(), viewer.user_id, ids).await?)
    }

    /// A page of the characters that are visible to the viewer, by name.
    pub async fn page(&self, viewer: &Viewer, filter: &Filter, window: Window<CharacterCursor>) -> Result<Page<Model>> {
        Ok(rows::page(self.database.reader(), viewer.user_id, filter, window).await?)
    }

    /// The number of visible characters that match the filter.
    pub async fn count(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        Ok(rows::count(self.database.reader(), viewer.user_id, filter).await?)
    }

    /// The tags of these characters, with the id of their character, in the order of each character.
    pub async fn tags(&self, ids: &[CharacterId]) -> Result<Vec<(CharacterId, String)>> {
        Ok(rows::tags(self.database.reader(), ids).await?)
    }

    /// Creates a character, which belongs to the viewer.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a public one without CHARACTERS_WRITE; [`Error::Invalid`]; [`Error::Conflict`] beyond
    /// [`MAX_PRIVATE`].
    pub async fn create(&self, viewer: &Viewer, client: &Client, new: NewCharacter) -> Result<Model> {
        let is_public = new.is_public.unwrap_or(false);
        if is_public {
            viewer.require(Permission::CharactersWrite)?;
        }
        let now = self.clock.now();
        let (character, tags) = new.check(&self.models)?;
        let id = CharacterId(self.ids.next(now));
        let owner_id = Some(viewer.user_id);
        let character = Model { id, owner_id, is_public, created_at: now, updated_at: now, ..character };
        let transaction = self.database.begin().await?;
        // Locked, so that concurrent calls cannot exceed the limit, and no character is left to a deleted account.
        users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?;
        if !is_public && rows::count_private(&transaction, viewer.user_id).await? >= MAX_PRIVATE {
            let message = "At most 500 private characters per user are allowed.";
            return Err(Error::Conflict { message, fields: Vec::new() });
        }
        rows::insert(&transaction, character.clone()).await?;
        rows::set_tags(&transaction, id, &tags).await?;
        if is_public {
            let detail = json!({ "name": character.name });
            self.record(&transaction, viewer, client, Action::CharacterPublished, id, detail).await?;
        }
        transaction.commit().await?;
        Ok(character)
    }

    /// Updates a character.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`]; [`Error::Forbidden`] without CHARACTERS_WRITE for a character that is
    /// public before or after the update.
    pub async fn update(
        &self,
        viewer: &Viewer,
        client: &Client,
        id: CharacterId,
        changes: CharacterChanges,
    ) -> Result<Model> {
        let changes = changes.check(&self.models)?;
        let transaction = self.database.begin().await?;
        let old = rows::lock(&transaction, viewer.user_id, id).await?.ok_or(Error::NotFound)?;
        let (fields, tags) = (changes.fields(), changes.tags.clone());
        let mut character = changes.apply(old.clone());
        if old.is_public || character.is_public {
            viewer.require(Permission::CharactersWrite)?;
        }
        if !character.is_public && character.owner_id.is_none() {
            let message = "A character without an owner cannot be private.";
            return Err(Error::invalid("isPublic", FieldErrorCode::NotAllowed, message));
        }
        character.updated_at = self.clock.now();
        rows::update(&transaction, character.clone()).await?;
        if let Some(tags) = tags {
            rows::set_tags(&transaction, id, &tags).await?;
        }
        let name = &character.name;
        match (old.is_public, character.is_public) {
            (false, false) => {}
            (false, true) => {
                let detail = json!({ "name": name });
                self.record(&transaction, viewer, client, Action::CharacterPublished, id, detail).await?;
            }
            (true, _) => {
                let detail = json!({ "name": name, "fields": fields });
                self.record(&transaction, viewer, client, Action::CharacterUpdated, id, detail).await?;
            }
        }
        transaction.commit().await?;
        Ok(character)
    }

    /// Deletes a character. It is hidden from all readers at once. Its chats, which continue without a character, are
    /// changed later by [`Characters::sweep`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] for a public one without CHARACTERS_WRITE.
    pub async fn delete(&self, viewer: &Viewer, client: &Client, id: CharacterId) -> Result<()> {
        let transaction = self.database.begin().await?;
        let character = rows::lock(&transaction, viewer.user_id, id).await?.ok_or(Error::NotFound)?;
        if character.is_public {
            viewer.require(Permission::CharactersWrite)?;
            let detail = json!({ "name": character.name });
            self.record(&transaction, viewer, client, Action::CharacterDeleted, id, detail).await?;
        }
        rows::mark_deleted(&transaction, id, self.clock.now()).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes deleted characters, first from their chats, in batches, so that SQLite's only writer is never held for
    /// long. After a restart it continues where it stopped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, stop: &CancellationToken) -> Result<()> {
        while let Some(id) = rows::find_deleted(self.database.reader()).await? {
            let mut has_more = true;
            while has_more && !stop.is_cancelled() {
                let transaction = self.database.begin().await?;
                has_more = rows::sweep(&transaction, id, SWEEP_BATCH).await?;
                transaction.commit().await?;
            }
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    async fn record(
        &self,
        transaction: &Transaction,
        viewer: &Viewer,
        client: &Client,
        action: Action,
        id: CharacterId,
        detail: Value,
    ) -> Result<()> {
        let entry = Entry::new(action, &self.ids, self.clock.now()).by(viewer.user_id).on(id).from(client.ip);
        audit::record(transaction, entry.detail(detail)).await
    }
}

/// Whether a viewer may read a character's instructions: as its owner, or with CHARACTERS_WRITE.
pub fn may_see_instructions(viewer: &Viewer, character: &Model) -> bool {
    viewer.may(Permission::CharactersWrite) || character.owner_id == Some(viewer.user_id)
}

/// The filter of a list, from its arguments.
///
/// # Errors
/// [`Error::Invalid`] for a malformed text or tag.
pub fn filter(viewer: &Viewer, query: Option<&str>, tags: Vec<String>, is_mine: Option<bool>) -> Result<Filter> {
    let name_key = search_key("filter.query", query)?;
    let mut checks = Checks::default();
    let tags = tags::check(&mut checks, "filter.tags", tags);
    checks.finish()?;
    Ok(Filter { name_key, tags, is_of: is_mine.map(|is_mine| (viewer.user_id, is_mine)) })
}

/// A character that is visible to the viewer, read within a transaction.
///
/// # Errors
/// When the database fails.
pub async fn find_in(db: &impl ConnectionTrait, viewer: &Viewer, id: CharacterId) -> Result<Option<Model>> {
    Ok(rows::find_all(db, viewer.user_id, &[id]).await?.pop())
}
