//! What admins do to other people's accounts. Nobody can touch a user who may do what they may not, nor grant it; each
//! act is in the audit log. Every change requires a session: all of them are [`Error::Forbidden`] with a personal
//! access token.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::last_admin::ensure_another_admin;
use super::registration::Strength;
use super::{Accounts, NewUser, PasswordReset, permissions_of};
use crate::domain::audit::{self, Action};
use crate::domain::chats::Chats;
use crate::domain::input::Checks;
use crate::domain::{Client, Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{RoleId, UserId};
use crate::entity::{role, user};
use crate::storage::directory::{Filter, Place};
use crate::storage::page::{Page, Window};
use crate::storage::{accounts as rows, directory, password_resets, roles, users};

/// The most roles of one user.
pub const MAX_ROLES_OF_USER: usize = 50;

impl Accounts {
    /// A page of the users, by name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_READ.
    pub async fn users(&self, viewer: &Viewer, filter: &Filter, window: Window<Place>) -> Result<Page<user::Model>> {
        viewer.require(Permission::UsersRead)?;
        Ok(directory::page(self.0.database.reader(), filter, window).await?)
    }

    /// How many users the filter lets through.
    ///
    /// # Errors
    /// As [`Accounts::users`].
    pub async fn count_users(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        viewer.require(Permission::UsersRead)?;
        Ok(directory::count(self.0.database.reader(), filter).await?)
    }

    /// Makes an account for somebody, with these roles besides the one that everybody has.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a role that allows what the viewer may not; [`Error::NotFound`] for a
    /// role that is not there; [`Error::Invalid`]; [`Error::Conflict`] when a name is taken.
    pub async fn create_user_for(
        &self,
        viewer: &Viewer,
        client: &Client,
        new: NewUser,
        role_ids: &[RoleId],
    ) -> Result<user::Model> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let wanted = wanted_roles(role_ids)?;
        let user = self.prepare(Checks::default(), new, Strength::Required).await?;
        let transaction = self.0.database.begin().await?;
        let granted = complete(roles::lock_all(&transaction, &wanted).await?, &wanted)?;
        viewer.require_all(&permissions_of(&granted))?;
        if !rows::insert_user(&transaction, user.clone()).await? {
            drop(transaction);
            return Err(self.conflict(&user).await?);
        }
        roles::set(&transaction, user.id, &wanted).await?;
        let detail = json!({ "roles": names(&granted) });
        let entry = self.audit(Action::UserCreated, client).by(viewer.user_id).on(user.id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Gives a user exactly these roles, and the one that everybody has. It holds for their live sessions within a
    /// second. A password reset of a user who gains a permission ends.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without ROLES_WRITE, and for a user or a role that may do what the viewer may not;
    /// [`Error::NotFound`]; [`Error::Conflict`] when it would demote the last admin.
    pub async fn set_user_roles(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
        role_ids: &[RoleId],
    ) -> Result<user::Model> {
        viewer.require_in_session(Permission::RolesWrite)?;
        let wanted = wanted_roles(role_ids)?;
        let transaction = self.0.database.begin().await?;
        let (user, before) = lock_subject(&transaction, viewer, user_id).await?;
        let is_demoted = before.iter().any(|role| role.id == role::ADMIN) && !wanted.contains(&role::ADMIN);
        if is_demoted {
            ensure_another_admin(&transaction, user_id).await?;
        }
        let after = complete(roles::lock_all(&transaction, &wanted).await?, &wanted)?;
        viewer.require_all(&permissions_of(&after))?;
        roles::set(&transaction, user_id, &wanted).await?;
        let (had, has) = (permissions_of(&before), permissions_of(&after));
        if has.iter().any(|permission| !had.contains(permission)) {
            // It was issued by somebody who may not be able to touch the user any more.
            password_resets::delete(&transaction, user_id).await?;
        }
        let detail = json!({ "roles": names(&after), "before": { "roles": names(&before) } });
        let entry = self.audit(Action::UserRolesSet, client).by(viewer.user_id).on(user_id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.roles_changed(Some(user_id)).await;
        Ok(user)
    }

    /// Lets a user sign in, or no longer: then every session of theirs ends too. What they own stays.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user who may do what the viewer may not; [`Error::NotFound`];
    /// [`Error::Conflict`] for the viewer themself and for the last admin.
    pub async fn set_user_active(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
        is_active: bool,
    ) -> Result<user::Model> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        if user.is_active == is_active {
            return Ok(user);
        }
        not_oneself(viewer, user_id)?;
        let after = user::Model { is_active, ..user.clone() };
        let (action, ended) = if is_active {
            users::update(&transaction, after.clone()).await?;
            (Action::UserActivated, None)
        } else {
            ensure_another_admin(&transaction, user_id).await?;
            (Action::UserDeactivated, Some(self.deactivate(&transaction, user).await?))
        };
        audit::record(&transaction, self.audit(action, client).by(viewer.user_id).on(user_id)).await?;
        transaction.commit().await?;
        if let Some(ended) = ended {
            self.close_all(ended).await;
        }
        Ok(after)
    }

    /// Removes a user with all that they own: gone for every reader at once, swept later.
    ///
    /// # Errors
    /// As [`Accounts::set_user_active`].
    pub async fn delete_user(&self, viewer: &Viewer, client: &Client, user_id: UserId, chats: &Chats) -> Result<()> {
        viewer.require_in_session(Permission::UsersWrite)?;
        not_oneself(viewer, user_id)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        ensure_another_admin(&transaction, user_id).await?;
        let entry = self.audit(Action::UserDeleted, client).by(viewer.user_id).on(user_id);
        let ended = self.mark_deleted(&transaction, user, entry).await?;
        transaction.commit().await?;
        self.let_go(user_id, ended, chats).await;
        Ok(())
    }

    /// Makes a one-time token with which a user chooses a new password. Not for the viewer, who has to know the current one.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user who may do what the viewer may not; [`Error::NotFound`];
    /// [`Error::Conflict`] for the viewer themself.
    pub async fn issue_password_reset_for(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
    ) -> Result<(user::Model, PasswordReset)> {
        viewer.require_in_session(Permission::UsersWrite)?;
        not_oneself(viewer, user_id)?;
        let transaction = self.0.database.begin().await?;
        let (user, before) = lock_subject(&transaction, viewer, user_id).await?;
        // What they allow does not change until the token is there for the change to end it.
        let role_ids: Vec<RoleId> = before.iter().map(|role| role.id).collect();
        viewer.require_all(&permissions_of(&roles::lock_all(&transaction, &role_ids).await?))?;
        let reset = self.issue_password_reset(&transaction, user_id).await?;
        let entry = self.audit(Action::PasswordResetIssued, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok((user, reset))
    }

    /// Ends every session of a user: tokens are dead and sockets close, at once. Answers how many there were.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user who may do what the viewer may not; [`Error::NotFound`].
    pub async fn end_user_sessions(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
    ) -> Result<(user::Model, usize)> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        let ended = users::delete_sessions(&transaction, user_id, None).await?;
        let count = ended.len();
        let entry = self.audit(Action::UserSessionsEnded, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": count }))).await?;
        transaction.commit().await?;
        self.close_sessions(ended).await;
        Ok((user, count))
    }
}

/// A user whom the viewer is about to change, and their roles. Nobody else changes them, or who is an admin, until the
/// transaction ends: whoever does takes these two locks in this order.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] when the user may do what the viewer may not.
pub(super) async fn lock_subject(
    db: &impl ConnectionTrait,
    viewer: &Viewer,
    user_id: UserId,
) -> Result<(user::Model, Vec<role::Model>)> {
    users::lock_role(db, role::ADMIN).await?;
    let user = users::lock(db, user_id).await?.ok_or(Error::NotFound)?;
    let roles = rows::roles_of_users(db, &[user_id]).await?;
    let roles: Vec<role::Model> = roles.into_iter().map(|(_, role)| role).collect();
    viewer.require_all(&permissions_of(&roles))?;
    Ok((user, roles))
}

/// The roles that are meant: each once, with the one that everybody has.
fn wanted_roles(ids: &[RoleId]) -> Result<Vec<RoleId>> {
    if ids.len() > MAX_ROLES_OF_USER {
        let message = format!("A user has at most {MAX_ROLES_OF_USER} roles.");
        return Err(Error::invalid("roleIds", FieldErrorCode::TooLong, message));
    }
    let mut wanted = ids.to_vec();
    wanted.push(role::USER);
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// # Errors
/// [`Error::NotFound`] when one of the wanted is missing.
fn complete(found: Vec<role::Model>, wanted: &[RoleId]) -> Result<Vec<role::Model>> {
    if found.len() == wanted.len() { Ok(found) } else { Err(Error::NotFound) }
}

fn not_oneself(viewer: &Viewer, user_id: UserId) -> Result<()> {
    if viewer.user_id != user_id {
        return Ok(());
    }
    Err(Error::Conflict { message: "Your own account is not changed this way.", fields: Vec::new() })
}

fn names(roles: &[role::Model]) -> Vec<&str> {
    roles.iter().map(|role| role.name.as_str()).collect()
}
