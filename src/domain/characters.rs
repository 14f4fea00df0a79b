//! Reading characters, and the rules for which of them a viewer may see.

use sea_orm::ConnectionTrait;

use crate::domain::input::Checks;
use crate::domain::{FieldErrorCode, Result, Viewer};
use crate::entity::character;
use crate::entity::enums::Permission;
use crate::entity::ids::CharacterId;
use crate::storage::characters::{CharacterCursor, Filter, Visible};
use crate::storage::page::{Page, Window};
use crate::storage::{self, Database};

/// The most tags of a character.
const MAX_TAGS: usize = 10;

/// Reads characters. Cheap to clone.
#[derive(Clone)]
pub struct Characters {
    /// The database.
    pub database: Database,
}

impl Characters {
    /// A character that is visible to the viewer.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn find(&self, viewer: &Viewer, id: CharacterId) -> Result<Option<character::Model>> {
        find_in(self.database.reader(), viewer, id).await
    }

    /// The visible ones of these characters.
    pub async fn find_all(&self, visible: Visible, ids: &[CharacterId]) -> Result<Vec<character::Model>> {
        Ok(storage::characters::find_all(self.database.reader(), visible, ids).await?)
    }

    /// A page of the characters that are visible to the viewer, by name.
    pub async fn page(
        &self,
        viewer: &Viewer,
        filter: &Filter,
        window: Window<CharacterCursor>,
    ) -> Result<Page<character::Model>> {
        Ok(storage::characters::page(self.database.reader(), visible_to(viewer), filter, window).await?)
    }

    /// The number of visible characters that match the filter.
    pub async fn count(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        Ok(storage::characters::count(self.database.reader(), visible_to(viewer), filter).await?)
    }

    /// The tags of these characters, with the id of their character, in the order of each character.
    pub async fn tags(&self, ids: &[CharacterId]) -> Result<Vec<(CharacterId, String)>> {
        Ok(storage::characters::tags(self.database.reader(), ids).await?)
    }
}

/// The characters that are visible to a viewer: public ones and their own; with CHARACTERS_WRITE, all of them.
pub fn visible_to(viewer: &Viewer) -> Visible {
    if viewer.may(Permission::CharactersWrite) { Visible::All } else { Visible::To(viewer.user_id) }
}

/// Whether a viewer may read a character's instructions: as its owner, or with CHARACTERS_WRITE.
pub fn may_see_instructions(viewer: &Viewer, character: &character::Model) -> bool {
    viewer.may(Permission::CharactersWrite) || character.owner_id == Some(viewer.user_id)
}

/// Checks tags that a list is filtered by, and removes the space around them.
///
/// # Errors
/// [`crate::domain::Error::Invalid`] for a malformed tag, and for more tags than a character can have.
pub fn check_tags(tags: Vec<String>) -> Result<Vec<String>> {
    let mut checks = Checks::default();
    if tags.len() > MAX_TAGS {
        checks.fail("filter.tags", FieldErrorCode::TooLong, format!("At most {MAX_TAGS} tags are allowed."));
    }
    for tag in &tags {
        checks.search("filter.tags", tag);
    }
    checks.finish()?;
    Ok(tags)
}

/// A character that is visible to the viewer, read within a transaction.
///
/// # Errors
/// When the database fails.
pub async fn find_in(db: &impl ConnectionTrait, viewer: &Viewer, id: CharacterId) -> Result<Option<character::Model>> {
    Ok(storage::characters::find_all(db, visible_to(viewer), &[id]).await?.pop())
}
