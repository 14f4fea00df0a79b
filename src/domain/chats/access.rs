//! The right to read chats. Every query for data below a chat takes a [`ChatAccess`], so that no query can omit the
//! check.

use crate::domain::{Result, Viewer};
use crate::entity::enums::Permission;
use crate::storage::chats::Readable;

/// The right to read certain chats and their contents. It can only be created from a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChatAccess(Readable);

impl ChatAccess {
    /// Access to the chats of all users. The caller must record in the audit log which chats are read with it.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without [`Permission::ChatsRead`].
    pub(super) fn of_all_users(viewer: &Viewer) -> Result<Self> {
        viewer.require(Permission::ChatsRead)?;
        Ok(Self(Readable::All))
    }

    /// Whether it is limited to the viewer's own chats.
    pub fn is_own(self) -> bool {
        matches!(self.0, Readable::Of(_))
    }

    /// The same right as a condition for storage queries.
    pub(in crate::domain) fn readable(self) -> Readable {
        self.0
    }
}

/// Access to the viewer's own chats.
impl From<&Viewer> for ChatAccess {
    fn from(viewer: &Viewer) -> Self {
        Self(Readable::Of(viewer.user_id))
    }
}
