//! The server always keeps one active admin.

use sea_orm::ConnectionTrait;

use crate::domain::{Error, Result};
use crate::entity::ids::UserId;
use crate::entity::role;
use crate::storage::roles;

/// Checks that an active admin remains if this user stops being one. It must be the first query of a transaction: it
/// locks the role until the end, so that of two concurrent removals the second sees the effect of the first.
///
/// # Errors
/// [`Error::Conflict`] if the user is the last active admin.
pub async fn ensure_another_admin(transaction: &impl ConnectionTrait, user_id: UserId) -> Result<()> {
    roles::lock(transaction, role::ADMIN).await?;
    match roles::holders(transaction, role::ADMIN, user_id).await? {
        (true, false) => {
            Err(Error::Conflict { message: "The last admin cannot be removed or deactivated.", fields: Vec::new() })
        }
        _ => Ok(()),
    }
}
