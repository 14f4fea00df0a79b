//! There is always somebody who can mend everything.

use sea_orm::ConnectionTrait;

use crate::domain::{Error, Result};
use crate::entity::ids::UserId;
use crate::entity::role;
use crate::storage::roles as rows;

/// Holds back, until this transaction ends, everybody else who would take an admin away, and makes sure that the server keeps an
/// active one without this user. To be called before the user is demoted, deactivated or deleted.
///
/// # Errors
/// [`Error::Conflict`] when the user is the last admin.
pub(super) async fn ensure_another_admin(db: &impl ConnectionTrait, user_id: UserId) -> Result<()> {
    rows::lock_all(db, &[role::ADMIN]).await?;
    let admins = rows::active_holders(db, role::ADMIN, 2).await?;
    if admins == [user_id] {
        return Err(Error::Conflict { message: "This is the last admin.", fields: Vec::new() });
    }
    Ok(())
}
