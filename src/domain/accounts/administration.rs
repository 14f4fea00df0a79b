//! What admins do to other people's accounts. Nobody can touch a user who may do what they may not, nor grant it; each act is in
//! the audit log.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::last_admin::ensure_another_admin;
use super::registration::Strength;
use super::{Accounts, NewUser, permissions_of};
use crate::domain::audit::{self, Action};
use crate::domain::input::Checks;
use crate::domain::{Client, Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{RoleId, SessionId, UserId};
use crate::entity::{role, user};
use crate::storage::directory::{Filter, Place};
use crate::storage::page::{Page, Window};
use crate::storage::{accounts as rows, directory, roles};

/// The most roles of one user.
const MAX_ROLES_OF_USER: usize = 50;

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
        viewer.require(Permission::UsersWrite)?;
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
        let detail = json!({ "username": user.username, "roles": names(&granted) });
        let entry = self.audit(Action::UserCreated, client).by(viewer.user_id).on(user.id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Gives a user exactly these roles, and the one that everybody has. It holds for their live sessions within a second.
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
        viewer.require(Permission::RolesWrite)?;
        let wanted = wanted_roles(role_ids)?;
        let transaction = self.0.database.begin().await?;
        let (user, before) = self.lock_subject(&transaction, viewer, user_id).await?;
        let is_demoted = before.iter().any(|role| role.id == role::ADMIN) && !wanted.contains(&role::ADMIN);
        if is_demoted {
            ensure_another_admin(&transaction, user_id).await?;
        }
        let after = complete(roles::lock_all(&transaction, &wanted).await?, &wanted)?;
        viewer.require_all(&permissions_of(&after))?;
        roles::set(&transaction, user_id, &wanted).await?;
        let detail = json!({ "roles": names(&after), "before": { "roles": names(&before) } });
        let entry = self.audit(Action::UserRolesSet, client).by(viewer.user_id).on(user_id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.0.live.forget_permissions();
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
        viewer.require(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (mut user, _) = self.lock_subject(&transaction, viewer, user_id).await?;
        if user.is_active == is_active {
            return Ok(user);
        }
        not_oneself(viewer, user_id)?;
        let mut ended = Vec::new();
        if !is_active {
            ensure_another_admin(&transaction, user_id).await?;
            ended = rows::delete_sessions_of(&transaction, user_id).await?;
        }
        rows::set_active(&transaction, user_id, is_active).await?;
        user.is_active = is_active;
        let action = if is_active { Action::UserActivated } else { Action::UserDeactivated };
        let entry = self.audit(action, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": ended.len() }))).await?;
        transaction.commit().await?;
        self.forget(ended).await;
        Ok(user)
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
        viewer.require(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = self.lock_subject(&transaction, viewer, user_id).await?;
        let ended = rows::delete_sessions_of(&transaction, user_id).await?;
        let entry = self.audit(Action::UserSessionsEnded, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": ended.len() }))).await?;
        transaction.commit().await?;
        let count = ended.len();
        self.forget(ended).await;
        Ok((user, count))
    }

    /// A user whom the viewer is about to change, and their roles; nobody else changes them until the transaction ends.
    async fn lock_subject(
        &self,
        db: &impl ConnectionTrait,
        viewer: &Viewer,
        user_id: UserId,
    ) -> Result<(user::Model, Vec<role::Model>)> {
        let user = rows::lock_user(db, user_id).await?.ok_or(Error::NotFound)?;
        let roles = rows::roles_of_users(db, &[user_id]).await?;
        let roles: Vec<role::Model> = roles.into_iter().map(|(_, role)| role).collect();
        viewer.require_all(&permissions_of(&roles))?;
        Ok((user, roles))
    }

    async fn forget(&self, sessions: Vec<SessionId>) {
        for session in sessions {
            self.0.live.end(session).await;
        }
    }
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
