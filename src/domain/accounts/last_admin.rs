//! Somebody must be able to administer the server.

use sea_orm::ConnectionTrait;

use crate::domain::{Error, Result};
use crate::entity::ids::UserId;
use crate::entity::role;
use crate::storage::users;

/// Makes sure that an admin who may sign in is left when this user is one no more. To be asked first in a transaction: it locks
/// the role until the end, so that of two who go at once the second sees the first gone.
///
/// # Errors
/// [`Error::Conflict`] when this is the last one.
pub async fn ensure_another_admin(tx: &impl ConnectionTrait, user_id: UserId) -> Result<()> {
    users::lock_role(tx, role::ADMIN).await?;
    match users::who_has(tx, role::ADMIN, user_id).await? {
        (true, false) => Err(Error::Conflict { message: "This is the last admin.", fields: Vec::new() }),
        _ => Ok(()),
    }
}
