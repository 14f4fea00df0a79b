//! Administration of other users' accounts. A viewer can neither change a user who has a permission that the viewer
//! lacks nor grant such a permission. Every change is recorded in the audit log, and is [`Error::Forbidden`] with a
//! personal access token.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::last_admin::ensure_another_admin;
use super::registration::Strength;
use super::{Accounts, NewUser, PasswordReset, permissions_of};
use crate::domain::audit::{self, Action};
use crate::domain::chats::Chats;
use crate::domain::input::{Change, Checks};
use crate::domain::{Client, Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{RoleId, UserId};
use crate::entity::{role, user};
use crate::storage::page::{Page, Window};
use crate::storage::users::{Filter, UserCursor};
use crate::storage::{password_resets, roles, sessions, users};

/// The maximum number of roles of one user.
pub const MAX_ROLES_OF_USER: usize = 50;

impl Accounts {
    /// A page of the users, by username.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_READ.
    pub async fn users(
        &self,
        viewer: &Viewer,
        filter: &Filter,
        window: Window<UserCursor>,
    ) -> Result<Page<user::Model>> {
        viewer.require(Permission::UsersRead)?;
        Ok(users::page(self.0.database.reader(), filter, window).await?)
    }

    /// The number of users that match the filter.
    ///
    /// # Errors
    /// As [`Accounts::users`].
    pub async fn count_users(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        viewer.require(Permission::UsersRead)?;
        Ok(users::count(self.0.database.reader(), filter).await?)
    }

    /// Creates an account with these roles and the built-in role `user`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a role with a permission that the viewer lacks;
    /// [`Error::NotFound`] for a role that does not exist; [`Error::Invalid`]; [`Error::Conflict`] if a name is taken.
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
        if !users::insert(&transaction, user.clone()).await? {
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

    /// Replaces a user's roles by these and the built-in role `user`. The user's sessions follow within a second. If
    /// the user gains a permission, their password reset token is deleted.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without ROLES_WRITE, and for a user or a role with a permission that the viewer lacks;
    /// [`Error::NotFound`]; [`Error::Conflict`] if it would demote the last admin.
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
            // Its issuer may not have the permissions that are now required to change this user.
            password_resets::delete(&transaction, user_id).await?;
        }
        let detail = json!({ "roles": names(&after), "before": { "roles": names(&before) } });
        let entry = self.audit(Action::UserRolesSet, client).by(viewer.user_id).on(user_id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.roles_changed(Some(user_id)).await;
        Ok(user)
    }

    /// Changes a user's own monthly limits. Without them, the limits of the user's roles apply. Running replies are not
    /// affected; those that started without any limit have reserved nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user with a permission that the viewer lacks;
    /// [`Error::NotFound`].
    pub async fn set_user_quota(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
        cost_limit: Change<i64>,
        token_limit: Change<i64>,
    ) -> Result<user::Model> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (before, _) = lock_subject(&transaction, viewer, user_id).await?;
        let user = user::Model {
            cost_limit: cost_limit.apply(before.cost_limit),
            token_limit: token_limit.apply(before.token_limit),
            ..before.clone()
        };
        users::update(&transaction, user.clone()).await?;
        let limits = |user: &user::Model| json!({ "costLimit": user.cost_limit, "tokenLimit": user.token_limit });
        let mut detail = limits(&user);
        detail["before"] = limits(&before);
        let entry = self.audit(Action::UserQuotaSet, client).by(viewer.user_id).on(user_id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Activates or deactivates an account. Deactivation ends all of the user's sessions and keeps their data.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user with a permission that the viewer lacks;
    /// [`Error::NotFound`]; [`Error::Conflict`] for the viewer's own account and for the last admin.
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
        refuse_own_account(viewer, user_id)?;
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

    /// Deletes a user and all of their data. Both are hidden from all readers at once and removed later.
    ///
    /// # Errors
    /// As [`Accounts::set_user_active`].
    pub async fn delete_user(&self, viewer: &Viewer, client: &Client, user_id: UserId, chats: &Chats) -> Result<()> {
        viewer.require_in_session(Permission::UsersWrite)?;
        refuse_own_account(viewer, user_id)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        ensure_another_admin(&transaction, user_id).await?;
        let entry = self.audit(Action::UserDeleted, client).by(viewer.user_id).on(user_id);
        let ended = self.mark_deleted(&transaction, user, entry).await?;
        transaction.commit().await?;
        self.close_deleted(user_id, ended, chats).await;
        Ok(())
    }

    /// Issues a one-time token with which a user sets a new password. Not for the viewer's own account: a change of the
    /// own password requires the current one.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user with a permission that the viewer lacks;
    /// [`Error::NotFound`]; [`Error::Conflict`] for the viewer's own account.
    pub async fn issue_password_reset_for(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
    ) -> Result<(user::Model, PasswordReset)> {
        viewer.require_in_session(Permission::UsersWrite)?;
        refuse_own_account(viewer, user_id)?;
        let transaction = self.0.database.begin().await?;
        let (user, before) = lock_subject(&transaction, viewer, user_id).await?;
        // The locks keep the permissions of these roles unchanged until the token is committed; a later change deletes
        // the token.
        let role_ids: Vec<RoleId> = before.iter().map(|role| role.id).collect();
        viewer.require_all(&permissions_of(&roles::lock_all(&transaction, &role_ids).await?))?;
        let reset = self.issue_password_reset(&transaction, user_id).await?;
        let entry = self.audit(Action::PasswordResetIssued, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok((user, reset))
    }

    /// Ends all sessions of a user: their tokens stop working and their WebSocket connections close at once. Returns
    /// the number of sessions.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, and for a user with a permission that the viewer lacks;
    /// [`Error::NotFound`].
    pub async fn end_user_sessions(
        &self,
        viewer: &Viewer,
        client: &Client,
        user_id: UserId,
    ) -> Result<(user::Model, usize)> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        let ended = sessions::delete_of_user(&transaction, user_id, None).await?;
        let count = ended.len();
        let entry = self.audit(Action::UserSessionsEnded, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": count }))).await?;
        transaction.commit().await?;
        self.close_sessions(ended).await;
        Ok((user, count))
    }
}

/// Locks a user that the viewer is about to change, and returns the user with their roles. Until the transaction ends,
/// no other transaction changes the user or the set of admins, because all of them take these two locks in this order.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] if the user has a permission that the viewer lacks.
pub(super) async fn lock_subject(
    db: &impl ConnectionTrait,
    viewer: &Viewer,
    user_id: UserId,
) -> Result<(user::Model, Vec<role::Model>)> {
    roles::lock(db, role::ADMIN).await?;
    let user = users::lock(db, user_id).await?.ok_or(Error::NotFound)?;
    let roles = roles::of_users(db, &[user_id]).await?;
    let roles: Vec<role::Model> = roles.into_iter().map(|(_, role)| role).collect();
    viewer.require_all(&permissions_of(&roles))?;
    Ok((user, roles))
}

/// The requested roles without duplicates, and the built-in role `user`.
fn wanted_roles(ids: &[RoleId]) -> Result<Vec<RoleId>> {
    if ids.len() > MAX_ROLES_OF_USER {
        let message = format!("At most {MAX_ROLES_OF_USER} roles per user are allowed.");
        return Err(Error::invalid("roleIds", FieldErrorCode::TooLong, message));
    }
    let mut wanted = ids.to_vec();
    wanted.push(role::USER);
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// # Errors
/// [`Error::NotFound`] if one of the requested roles does not exist.
fn complete(found: Vec<role::Model>, wanted: &[RoleId]) -> Result<Vec<role::Model>> {
    if found.len() == wanted.len() { Ok(found) } else { Err(Error::NotFound) }
}

fn refuse_own_account(viewer: &Viewer, user_id: UserId) -> Result<()> {
    if viewer.user_id != user_id {
        return Ok(());
    }
    Err(Error::Conflict { message: "This cannot be done to your own account.", fields: Vec::new() })
}

fn names(roles: &[role::Model]) -> Vec<&str> {
    roles.iter().map(|role| role.name.as_str()).collect()
}
