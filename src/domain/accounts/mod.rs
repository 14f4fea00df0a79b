//! Accounts: users, roles, authentication, sessions and tokens.

mod administration;
mod closing;
mod last_admin;
mod live_sessions;
mod lockout;
mod names;
mod opaque_tokens;
mod own_sessions;
mod password_changes;
pub mod passwords;
mod personal_access_tokens;
mod profile;
mod reauthentication;
mod registration;
mod roles;
mod sessions;
pub mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use tokio_util::task::TaskTracker;

pub use administration::MAX_ROLES_OF_USER;
pub use closing::Ended;
pub use last_admin::ensure_another_admin;
pub use password_changes::PasswordReset;
pub use personal_access_tokens::{MAX_TOKENS, NewToken};
pub use profile::ProfileChanges;
pub use registration::{NewUser, Registration};
pub use roles::{MAX_ROLES, NewRole, RoleChanges};
pub use sessions::{Credentials, MAX_SESSIONS, SignedIn};

use crate::clock::{Clock, IdGenerator};
use crate::config::AuthSettings;
use crate::config::auth::SigningSecrets;
use crate::domain::audit::{Action, Entry};
use crate::domain::{Client, Error, Requester, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{RoleId, SessionId, UserId};
use crate::entity::{role, session, user};
use crate::storage::{self, Database};
use live_sessions::LiveSessions;
use lockout::LockoutPolicy;
use passwords::PasswordHasher;
use tokens::Tokens;

/// The number of users whose roles are read by one query.
const ROLES_BATCH: usize = 500;

/// The use cases of accounts. Cheap to clone.
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
    lockout: Option<LockoutPolicy>,
    is_registration_open: bool,
    refresh_lifetime: TimeDelta,
}

impl Accounts {
    /// # Errors
    /// When the settings are invalid.
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
            lockout: LockoutPolicy::new(settings),
            is_registration_open: settings.registration_open,
            refresh_lifetime: TimeDelta::from_std(settings.refresh_token_lifetime()).map_err(Error::internal)?,
        })))
    }

    /// A new audit entry for an action of `client` at the current time.
    fn audit(&self, action: Action, client: &Client) -> Entry {
        Entry::new(action, &self.0.ids, self.0.clock.now()).from(client.ip)
    }

    /// The number of password hashes that wait for a thread, and that are being computed.
    pub fn password_queue(&self) -> (usize, usize) {
        self.0.passwords.queue()
    }

    /// Whether registration is open.
    pub fn is_registration_open(&self) -> bool {
        self.0.is_registration_open
    }

    /// The viewer's account. None without credentials.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with invalid credentials.
    pub async fn me(&self, requester: &Requester) -> Result<Option<user::Model>> {
        if matches!(requester, Requester::Anonymous) {
            return Ok(None);
        }
        let viewer = requester.viewer()?;
        // The account may have been deleted since the session was loaded.
        self.account(viewer).await.map(Some)
    }

    /// The session of the request's access token. None with a personal access token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a viewer.
    pub async fn current_session(&self, requester: &Requester) -> Result<Option<session::Model>> {
        let Some(id) = requester.viewer()?.session_id() else { return Ok(None) };
        let found = storage::sessions::find_with_user(self.0.database.reader(), id).await?;
        found.map(|(session, _)| Some(session)).ok_or(Error::Unauthenticated)
    }

    /// Deletes expired sessions, personal access tokens and password reset tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(&self) -> Result<()> {
        let now = self.0.clock.now();
        let transaction = self.0.database.begin().await?;
        storage::sessions::delete_expired(&transaction, now).await?;
        storage::personal_access_tokens::delete_expired(&transaction, now).await?;
        storage::password_resets::delete_expired(&transaction, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Those of these sessions that belong to the viewer.
    pub async fn own_sessions(&self, viewer: &Viewer, ids: &[SessionId]) -> Result<Vec<session::Model>> {
        Ok(storage::sessions::find_all(self.0.database.reader(), viewer.user_id, ids).await?)
    }

    /// The user with this username, case-insensitively. None if the user is not visible to the viewer.
    pub async fn user_by_username(&self, viewer: &Viewer, username: &str) -> Result<Option<user::Model>> {
        let Some(key) = names::searchable(username) else { return Ok(None) };
        let found = storage::users::find_by_username(self.0.database.reader(), &key).await?;
        Ok(found.filter(|user| is_visible(viewer, user)))
    }

    /// Applies a committed change of roles to the sessions on this node, of all users or of one.
    pub async fn roles_changed(&self, of: Option<UserId>) {
        let (here, as_of) = self.0.live.roles_changed(of);
        for some in here.chunks(ROLES_BATCH) {
            let ids: Vec<UserId> = some.iter().map(|(id, _)| *id).collect();
            let roles = self.roles_of(&ids).await.unwrap_or_else(|cause| {
                // Without a known state, no viewer may keep revoked permissions. The next request loads them
                // again.
                tracing::error!(exception.message = &cause as &dyn std::error::Error, "changed roles cannot be read");
                Vec::new()
            });
            for (id, permissions) in some {
                let own = roles.iter().filter(|(user, _)| user == id).map(|(_, role)| role.clone());
                permissions.learn(&permissions_of(&own.collect::<Vec<_>>()), as_of);
            }
        }
    }

    /// The permissions of a user's roles.
    async fn permissions(&self, id: UserId) -> Result<Arc<[Permission]>> {
        let roles: Vec<_> = self.roles_of(&[id]).await?.into_iter().map(|(_, role)| role).collect();
        Ok(permissions_of(&roles).into())
    }

    /// Those of these roles that the viewer has; with ROLES_WRITE, all of them.
    pub async fn roles_by_ids(&self, viewer: &Viewer, ids: &[RoleId]) -> Result<Vec<role::Model>> {
        if viewer.may(Permission::RolesWrite) {
            return Ok(storage::roles::find_all(self.0.database.reader(), ids).await?);
        }
        let own = self.roles_of(&[viewer.user_id]).await?;
        Ok(own.into_iter().map(|(_, role)| role).filter(|role| ids.contains(&role.id)).collect())
    }

    /// The users with these ids, in no particular order. The caller checks with [`account_of`] which fields the viewer
    /// may see.
    pub async fn users_by_ids(&self, ids: &[UserId]) -> Result<Vec<user::Model>> {
        Ok(storage::users::find_all(self.0.database.reader(), ids).await?)
    }

    /// The roles of these users, by name. The caller checks with [`account_of`] which of them the viewer may see.
    pub async fn roles_of(&self, ids: &[UserId]) -> Result<Vec<(UserId, role::Model)>> {
        Ok(storage::roles::of_users(self.0.database.reader(), ids).await?)
    }
}

/// The user, if the viewer may see their account data: their own, or everyone's with [`Permission::UsersRead`].
pub fn account_of<'a>(viewer: Option<&Viewer>, user: &'a user::Model) -> Option<&'a user::Model> {
    let may = viewer.is_some_and(|viewer| viewer.user_id == user.id || viewer.may(Permission::UsersRead));
    may.then_some(user)
}

/// Whether the viewer has any permission beyond their own data.
///
/// # Errors
/// [`Error::Unauthenticated`] with invalid credentials.
pub fn may_administer(requester: &Requester) -> Result<bool> {
    match requester {
        Requester::Anonymous => Ok(false),
        other => {
            let viewer = other.viewer()?;
            Ok(Permission::ALL.iter().any(|(permission, _)| viewer.may(*permission)))
        }
    }
}

/// Whether a user is visible to a viewer. Deactivated accounts require [`Permission::UsersRead`].
pub fn is_visible(viewer: &Viewer, user: &user::Model) -> bool {
    user.is_active || viewer.may(Permission::UsersRead)
}

/// The permissions of several roles, without duplicates.
pub fn permissions_of(roles: &[role::Model]) -> Vec<Permission> {
    union(roles.iter().map(|role| role.permissions.as_str()))
}

/// The permissions in several role rows, without duplicates.
fn union<'a>(lists: impl Iterator<Item = &'a str>) -> Vec<Permission> {
    let mut all: Vec<Permission> = lists.flat_map(Permission::parse_list).collect();
    all.sort_unstable();
    all.dedup();
    all
}
