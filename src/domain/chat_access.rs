//! Whose chats a request may read: what every look-up below a chat is given, so that none can forget to ask.

use crate::domain::{Result, Viewer};
use crate::entity::enums::Permission;
use crate::storage::chats::Readable;

/// The right to read chats and what stands in them. There is no way to make one without a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChatAccess(Readable);

impl ChatAccess {
    /// To everybody's chats. Who gives it on writes down what is read with it.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without [`Permission::ChatsRead`].
    pub(super) fn everybodys(viewer: &Viewer) -> Result<Self> {
        viewer.require(Permission::ChatsRead)?;
        Ok(Self(Readable::All))
    }

    /// Whether it is the owner's own.
    pub fn is_own(self) -> bool {
        matches!(self.0, Readable::Of(_))
    }

    /// The same for a query.
    pub(super) fn readable(self) -> Readable {
        self.0
    }
}

/// To one's own chats.
impl From<&Viewer> for ChatAccess {
    fn from(viewer: &Viewer) -> Self {
        Self(Readable::Of(viewer.user_id))
    }
}
