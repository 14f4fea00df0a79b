//! Accounts: who there is, how they get in, and how long they stay.

mod administration;
mod last_admin;
mod live_sessions;
mod names;
pub mod passwords;
mod registration;
mod roles;
mod sessions;
pub mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use tokio_util::task::TaskTracker;

pub use registration::{NewUser, Registration};
pub use roles::{NewRole, RoleChanges};
pub use sessions::{Credentials, SignedIn};

use crate::clock::{Clock, IdGenerator};
use crate::config::AuthSettings;
use crate::config::auth::SigningSecrets;
use crate::domain::audit::{Action, Entry};
use crate::domain::{Client, Error, Requester, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{RoleId, SessionId, UserId};
use crate::entity::{role, session, user};
use crate::storage::{Database, accounts as rows};
use live_sessions::LiveSessions;
use passwords::PasswordHasher;
use tokens::Tokens;

/// Everything about accounts. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    tracker: TaskTracker,
    tokens: Tokens,
    passwords: PasswordHasher,
    live: LiveSessions,
    is_registration_open: bool,
    refresh_lifetime: TimeDelta,
}

impl Accounts {
    /// # Errors
    /// When the settings cannot be used as they are.
    pub fn new(
        database: Database,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        tracker: TaskTracker,
        secrets: &SigningSecrets,
        settings: &AuthSettings,
    ) -> Result<Self> {
        let tokens = Tokens::new(secrets, settings.access_token_lifetime())?;
        let live = LiveSessions::new(settings.access_token_lifetime());
        Ok(Self(Arc::new(Inner {
            database,
            clock,
            ids,
            tracker,
            tokens,
            passwords: PasswordHasher::default(),
            live,
            is_registration_open: settings.registration_open,
            refresh_lifetime: TimeDelta::from_std(settings.refresh_token_lifetime()).map_err(Error::internal)?,
        })))
    }

    /// An entry of the audit log about something that `client` does now.
    fn audit(&self, action: Action, client: &Client) -> Entry {
        Entry::new(action, &self.0.ids, self.0.clock.now()).from(client.ip)
    }

    /// Whether anybody may register.
    pub fn is_registration_open(&self) -> bool {
        self.0.is_registration_open
    }

    /// The viewer's account; none without credentials.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with dead credentials.
    pub async fn me(&self, requester: &Requester) -> Result<Option<user::Model>> {
        if matches!(requester, Requester::Anonymous) {
            return Ok(None);
        }
        let viewer = requester.viewer()?;
        let found = rows::users_by_ids(self.0.database.reader(), &[viewer.user_id]).await?;
        // Gone between two requests: its sessions went along.
        found.into_iter().next().map(Some).ok_or(Error::Unauthenticated)
    }

    /// The session of this request's access token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a viewer.
    pub async fn current_session(&self, requester: &Requester) -> Result<session::Model> {
        let viewer = requester.viewer()?;
        let found = rows::session_with_user(self.0.database.reader(), viewer.session_id).await?;
        found.map(|(session, _)| session).ok_or(Error::Unauthenticated)
    }

    /// Removes sessions whose refresh token has expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired_sessions(&self) -> Result<()> {
        let transaction = self.0.database.begin().await?;
        rows::delete_expired_sessions(&transaction, self.0.clock.now()).await?;
        Ok(transaction.commit().await?)
    }

    /// A session of the viewer's.
    pub async fn session(&self, viewer: &Viewer, id: SessionId) -> Result<Option<session::Model>> {
        let found = rows::session_with_user(self.0.database.reader(), id).await?;
        Ok(found.filter(|(_, user)| user.id == viewer.user_id).map(|(session, _)| session))
    }

    /// A role that the viewer has, or any with ROLES_WRITE.
    pub async fn role(&self, viewer: &Viewer, id: RoleId) -> Result<Option<role::Model>> {
        if viewer.may(Permission::RolesWrite) {
            return Ok(rows::role(self.0.database.reader(), id).await?);
        }
        let own = self.roles_of(&[viewer.user_id]).await?;
        Ok(own.into_iter().map(|(_, role)| role).find(|role| role.id == id))
    }

    /// The users that exist of those, in no order. What of them a viewer may see, [`account_of`] says.
    pub async fn users_by_ids(&self, ids: &[UserId]) -> Result<Vec<user::Model>> {
        Ok(rows::users_by_ids(self.0.database.reader(), ids).await?)
    }

    /// Every role of those users, by name. What of them a viewer may see, [`account_of`] says.
    pub async fn roles_of(&self, ids: &[UserId]) -> Result<Vec<(UserId, role::Model)>> {
        Ok(rows::roles_of_users(self.0.database.reader(), ids).await?)
    }
}

/// The user, as far as the viewer may see the account behind the public profile: their own, and with
/// [`Permission::UsersRead`] everybody's.
pub fn account_of<'a>(viewer: Option<&Viewer>, user: &'a user::Model) -> Option<&'a user::Model> {
    let may = viewer.is_some_and(|viewer| viewer.user_id == user.id || viewer.may(Permission::UsersRead));
    may.then_some(user)
}

/// Whether somebody has any permission beyond their own data.
///
/// # Errors
/// [`Error::Unauthenticated`] with dead credentials.
pub fn may_administer(requester: &Requester) -> Result<bool> {
    match requester {
        Requester::Anonymous => Ok(false),
        other => {
            let viewer = other.viewer()?;
            Ok(Permission::ALL.iter().any(|(permission, _)| viewer.may(*permission)))
        }
    }
}

/// What several roles allow together, each permission once.
pub fn permissions_of(roles: &[role::Model]) -> Vec<Permission> {
    let mut all: Vec<Permission> = roles.iter().flat_map(|role| Permission::parse_list(&role.permissions)).collect();
    all.sort_unstable();
    all.dedup();
    all
}
