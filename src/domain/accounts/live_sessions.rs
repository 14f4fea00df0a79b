//! What this process remembers of sessions, so that a request costs no query, and an ended session fails at once.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use tokio_util::sync::CancellationToken;

use crate::domain::Result;
use crate::entity::enums::Permission;
use crate::entity::ids::{SessionId, UserId};

/// How long a change that another node made may stay unseen.
const ACCOUNT_LIFETIME: Duration = Duration::from_secs(1);
/// How long an ended session is remembered: longer than any query that had begun before may still run.
const ENDED_LIFETIME: Duration = Duration::from_secs(60);
/// Sessions that are remembered at once.
const CAPACITY: u64 = 100_000;

/// Whose session it is, and what they may do.
#[derive(Debug, Clone)]
pub(super) struct LiveSession {
    pub(super) user_id: UserId,
    pub(super) permissions: Arc<[Permission]>,
}

/// The memory.
pub(super) struct LiveSessions {
    /// What was just loaded; none for a session that is not there, or whose user may not sign in.
    loaded: Cache<SessionId, Option<LiveSession>>,
    /// Sessions that ended a moment ago, asked after each load: a load that began before the end may bring the row.
    ended: Cache<SessionId, ()>,
    /// One token for all viewers of a session, for as long as an access token may live.
    endings: Cache<SessionId, CancellationToken>,
}

impl LiveSessions {
    pub(super) fn new(access_lifetime: Duration) -> Self {
        // A session that falls out for want of room can no longer be told of its end: its sockets close now, and come back.
        let close = |_: Arc<SessionId>, token: CancellationToken, cause: RemovalCause| {
            if cause != RemovalCause::Replaced {
                token.cancel();
            }
        };
        Self {
            loaded: Cache::builder().max_capacity(CAPACITY).time_to_live(ACCOUNT_LIFETIME).build(),
            // The oldest goes, never the newest, as the default policy may have it.
            ended: Cache::builder()
                .max_capacity(CAPACITY)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(ENDED_LIFETIME)
                .build(),
            endings: Cache::builder()
                .max_capacity(CAPACITY)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(access_lifetime + ENDED_LIFETIME)
                .eviction_listener(close)
                .build(),
        }
    }

    /// The session, and the token that its end cancels. `load` is called at most once at a time for a session, and at most
    /// once a second.
    pub(super) async fn get(
        &self,
        id: SessionId,
        load: impl Future<Output = Result<Option<LiveSession>>>,
    ) -> Result<Option<(LiveSession, CancellationToken)>> {
        // The token first: who ends the session after this line cancels it, who ended it before stands in `ended`.
        let ending = self.endings.get_with(id, async { CancellationToken::new() }).await;
        let loaded = self.loaded.try_get_with(id, load).await.map_err(Arc::unwrap_or_clone)?;
        if self.ended.contains_key(&id) {
            return Ok(None);
        }
        Ok(loaded.map(|session| (session, ending)))
    }

    /// Looks everybody's permissions up anew from now on: roles changed.
    pub(super) fn forget_permissions(&self) {
        self.loaded.invalidate_all();
    }

    /// Forgets a session that is no longer in the database, and closes what it holds open.
    pub(super) async fn end(&self, id: SessionId) {
        self.ended.insert(id, ()).await;
        self.loaded.invalidate(&id).await;
        if let Some(ending) = self.endings.remove(&id).await {
            ending.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use uuid::Uuid;

    use super::*;
    use crate::domain::Error;

    const ID: SessionId = SessionId(Uuid::from_u128(7));

    fn live() -> LiveSessions {
        LiveSessions::new(Duration::from_secs(900))
    }

    fn someone() -> Result<Option<LiveSession>> {
        Ok(Some(LiveSession { user_id: UserId(Uuid::from_u128(1)), permissions: Arc::new([]) }))
    }

    #[tokio::test]
    async fn loads_once_a_second() {
        let (live, loads) = (live(), AtomicU32::new(0));
        let get = || {
            live.get(ID, async {
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
    async fn an_end_is_seen_at_once_by_every_viewer() {
        let live = live();
        let (_, first) = live.get(ID, async { someone() }).await.unwrap().unwrap();
        let (_, second) = live.get(ID, async { someone() }).await.unwrap().unwrap();
        assert!(!first.is_cancelled());
        live.end(ID).await;
        assert!(first.is_cancelled() && second.is_cancelled());
        assert!(live.get(ID, async { someone() }).await.unwrap().is_none(), "a late load brings nothing back");
    }

    #[tokio::test]
    async fn an_end_during_the_load_wins() {
        let live = live();
        let during = live.get(ID, async {
            live.end(ID).await;
            someone()
        });
        assert!(during.await.unwrap().is_none());
        assert!(live.get(ID, async { someone() }).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_failed_load_is_not_remembered() {
        let live = live();
        let busy = Error::Unavailable { message: "busy", retry_after: None };
        assert!(matches!(live.get(ID, async { Err(busy) }).await, Err(Error::Unavailable { .. })));
        assert!(live.get(ID, async { someone() }).await.unwrap().is_some());
    }
}
