//! The in-memory cache of sessions and personal access tokens. A cached session needs no query, and is
//! rejected as soon as it ends on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use tokio_util::sync::CancellationToken;

use crate::domain::viewer::{Credential, Permissions};
use crate::domain::{Error, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::{SessionId, UserId};

/// The longest time for which a change on another node goes unnoticed.
const ACCOUNT_LIFETIME: Duration = Duration::from_secs(1);
/// How long an ended session is remembered: longer than any query that began before its end can run.
const ENDED_LIFETIME: Duration = Duration::from_secs(60);
/// The maximum number of attempts to load a session while roles are being changed.
const LOADS: usize = 5;
/// The maximum number of sessions in the cache.
const CAPACITY: u64 = 100_000;

/// The key of a session or token in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Session(SessionId),
    /// The SHA-256 hash of a personal access token.
    Token([u8; 32]),
}

impl Key {
    /// The key for the hash in a token's row.
    pub(super) fn of_token(hash: &[u8]) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(hash);
        Self::Token(key)
    }
}

impl From<SessionId> for Key {
    fn from(id: SessionId) -> Self {
        Self::Session(id)
    }
}

/// The user and the rights of a session or token.
#[derive(Debug, Clone)]
pub(super) struct LiveSession {
    pub(super) user_id: UserId,
    pub(super) credential: Credential,
    pub(super) may_write: bool,
    /// The permissions of the user's roles. None if the token does not include them.
    pub(super) permissions: Option<Arc<[Permission]>>,
    /// The expiry of a personal access token.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// The state that all viewers of a session share.
#[derive(Clone)]
struct Shared {
    user_id: UserId,
    ended: CancellationToken,
    permissions: Permissions,
    follows_roles: bool,
}

/// The time for which unused shared state is kept: for a session, the lifetime of an access token; for a personal
/// access token, no limit except the capacity, because its WebSocket connections have none either.
struct Idle {
    session: Duration,
}

impl Idle {
    fn after(&self, key: &Key) -> Option<Duration> {
        matches!(key, Key::Session(_)).then_some(self.session)
    }
}

impl Expiry<Key, Shared> for Idle {
    fn expire_after_create(&self, key: &Key, _: &Shared, _: Instant) -> Option<Duration> {
        self.after(key)
    }

    fn expire_after_read(
        &self,
        key: &Key,
        _: &Shared,
        _: Instant,
        _: Option<Duration>,
        _: Instant,
    ) -> Option<Duration> {
        self.after(key)
    }
}

/// The cache.
pub(super) struct LiveSessions {
    /// The loaded sessions with the role change count at the time of loading. None for a session that does not exist or
    /// whose user is deactivated.
    loaded: Cache<Key, Option<(LiveSession, u64)>>,
    /// The sessions that ended recently. They are checked after each load, because a load that began before the end may
    /// return the deleted row.
    ended: Cache<Key, ()>,
    shared: Cache<Key, Shared>,
    /// The number of role changes. A load that began before a change has outdated permissions.
    changes: AtomicU64,
}

impl LiveSessions {
    pub(super) fn new(access_lifetime: Duration) -> Self {
        // An evicted session can no longer be told that it has ended. Its connections close now and reconnect.
        let close = |_: Arc<Key>, shared: Shared, cause: RemovalCause| {
            if cause != RemovalCause::Replaced {
                shared.ended.cancel();
            }
        };
        Self {
            loaded: Cache::builder().max_capacity(CAPACITY).time_to_live(ACCOUNT_LIFETIME).build(),
            // Evict the oldest entry. The default policy may evict the newest one.
            ended: Cache::builder()
                .max_capacity(CAPACITY)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(ENDED_LIFETIME)
                .build(),
            shared: Cache::builder()
                .max_capacity(CAPACITY)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(Idle { session: access_lifetime + ENDED_LIFETIME })
                .eviction_listener(close)
                .build(),
            changes: AtomicU64::new(0),
        }
    }

    /// The viewer of a session or token that expires at `expires_at`, or at the time in its row if that is none. Per
    /// key, `load` runs at most once at a time and once per [`ACCOUNT_LIFETIME`], and again after role changes.
    ///
    /// # Errors
    /// The errors of `load`; [`Error::Unavailable`] if roles change faster than they can be loaded.
    pub(super) async fn get<F>(
        &self,
        key: Key,
        expires_at: Option<DateTime<Utc>>,
        load: impl Fn() -> F,
    ) -> Result<Option<Viewer>>
    where
        F: Future<Output = Result<Option<LiveSession>>>,
    {
        for _ in 0..LOADS {
            let now = self.changes.load(Ordering::SeqCst);
            let load = async { load().await.map(|found| found.map(|session| (session, now))) };
            let loaded = self.loaded.try_get_with(key, load).await.map_err(Arc::unwrap_or_clone)?;
            let Some((session, as_of)) = loaded else {
                // Checked before anything is stored for the key, so that made-up tokens cannot evict others.
                if let Some(shared) = self.shared.remove(&key).await {
                    shared.ended.cancel();
                }
                return Ok(None);
            };
            let shared = self.shared.get_with(key, async {
                let (ended, permissions) = (CancellationToken::new(), Permissions::default());
                Shared { user_id: session.user_id, ended, permissions, follows_roles: session.permissions.is_some() }
            });
            let shared = shared.await;
            // Role changes from here on update the state that was just shared. Permissions loaded before earlier
            // changes are loaded again.
            if self.changes.load(Ordering::SeqCst) != as_of {
                self.loaded.invalidate(&key).await;
                continue;
            }
            // Checked last: an end from here on cancels the state that was just shared, and an earlier end is found
            // here.
            if self.ended.contains_key(&key) {
                return Ok(None);
            }
            shared.permissions.learn(session.permissions.as_deref().unwrap_or_default(), as_of);
            return Ok(Some(Viewer {
                user_id: session.user_id,
                credential: session.credential,
                permissions: shared.permissions,
                may_write: session.may_write,
                token_expires_at: expires_at.or(session.expires_at),
                session_ended: shared.ended,
            }));
        }
        Err(Error::Unavailable { message: "Roles are being changed. Try again.", retry_after: Some(ACCOUNT_LIFETIME) })
    }

    /// Removes a session that was deleted from the database, and closes its connections.
    pub(super) async fn end(&self, key: impl Into<Key>) {
        let key = key.into();
        self.ended.insert(key, ()).await;
        self.close(key).await;
    }

    /// Closes the connections of a session or token. The next request loads its row again.
    pub(super) async fn close(&self, key: Key) {
        self.loaded.invalidate(&key).await;
        if let Some(shared) = self.shared.remove(&key).await {
            shared.ended.cancel();
        }
    }

    /// The sessions with permissions that follow their roles (of all users or one), and the new role change count.
    pub(super) fn roles_changed(&self, of: Option<UserId>) -> (Vec<(UserId, Permissions)>, u64) {
        let as_of = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let here = self.shared.iter().map(|(_, shared)| shared).filter(|shared| shared.follows_roles);
        let wanted = here.filter(|shared| of.is_none_or(|user| user == shared.user_id));
        (wanted.map(|shared| (shared.user_id, shared.permissions)).collect(), as_of)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use uuid::Uuid;

    use super::*;

    const ID: SessionId = SessionId(Uuid::from_u128(7));
    const KEY: Key = Key::Session(ID);
    const USER: UserId = UserId(Uuid::from_u128(1));

    fn live() -> LiveSessions {
        LiveSessions::new(Duration::from_secs(900))
    }

    fn someone() -> Result<Option<LiveSession>> {
        with(&[])
    }

    fn with(permissions: &[Permission]) -> Result<Option<LiveSession>> {
        let credential = Credential::Session(ID);
        let permissions = Some(permissions.into());
        Ok(Some(LiveSession { user_id: USER, credential, may_write: true, permissions, expires_at: None }))
    }

    #[tokio::test]
    async fn loads_once_a_second() {
        let (live, loads) = (live(), AtomicU32::new(0));
        let get = || {
            live.get(KEY, None, || async {
                loads.fetch_add(1, Ordering::Relaxed);
                someone()
            })
        };
        for _ in 0..10 {
            assert!(get().await.unwrap().is_some());
        }
        assert_eq!(loads.load(Ordering::Relaxed), 1);
        tokio::time::sleep(ACCOUNT_LIFETIME + Duration::from_millis(100)).await;
        get().await.unwrap();
        assert_eq!(loads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn all_viewers_see_the_end_of_a_session_at_once() {
        let live = live();
        let first = live.get(KEY, None, || async { someone() }).await.unwrap().unwrap();
        let second = live.get(KEY, None, || async { someone() }).await.unwrap().unwrap();
        assert!(!first.session_ended.is_cancelled());
        live.end(ID).await;
        assert!(first.session_ended.is_cancelled() && second.session_ended.is_cancelled());
        assert!(
            live.get(KEY, None, || async { someone() }).await.unwrap().is_none(),
            "a late load brings nothing back"
        );
    }

    #[tokio::test]
    async fn an_end_during_the_load_wins() {
        let live = live();
        let during = live.get(KEY, None, || async {
            live.end(ID).await;
            someone()
        });
        assert!(during.await.unwrap().is_none());
        assert!(live.get(KEY, None, || async { someone() }).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn failed_loads_are_not_cached() {
        let live = live();
        let busy = || Error::Unavailable { message: "busy", retry_after: None };
        assert!(matches!(live.get(KEY, None, || async { Err(busy()) }).await, Err(Error::Unavailable { .. })));
        assert!(live.get(KEY, None, || async { someone() }).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn existing_viewers_lose_revoked_permissions() {
        let live = live();
        let viewer = live.get(KEY, None, || async { with(&[Permission::AuditRead]) }).await.unwrap().unwrap();
        assert!(viewer.may(Permission::AuditRead));
        let (here, as_of) = live.roles_changed(Some(USER));
        assert_eq!(here.len(), 1);
        here[0].1.learn(&[], as_of);
        assert!(!viewer.may(Permission::AuditRead));
        let next = live.get(KEY, None, || async { with(&[]) }).await.unwrap().unwrap();
        assert!(!next.may(Permission::AuditRead), "what was read before the change is read again");
        assert!(live.roles_changed(Some(UserId(Uuid::from_u128(2)))).0.is_empty());
        assert_eq!(live.roles_changed(None).0.len(), 1);
    }

    #[tokio::test]
    async fn a_load_during_a_role_change_is_repeated() {
        let live = live();
        let loads = AtomicU32::new(0);
        let during = live.get(KEY, None, || async {
            if loads.fetch_add(1, Ordering::Relaxed) > 0 {
                return with(&[]);
            }
            assert!(live.roles_changed(Some(USER)).0.is_empty(), "no viewers yet");
            with(&[Permission::AuditRead])
        });
        assert!(!during.await.unwrap().unwrap().may(Permission::AuditRead));
    }

    #[tokio::test]
    async fn made_up_tokens_use_no_capacity() {
        let live = live();
        assert!(live.get(Key::Token([9; 32]), None, || async { Ok(None) }).await.unwrap().is_none());
        live.shared.run_pending_tasks().await;
        assert_eq!(live.shared.entry_count(), 0);
    }
}
