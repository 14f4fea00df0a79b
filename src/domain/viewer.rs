//! Who asks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::domain::{Error, Result};
use crate::entity::enums::Permission;
use crate::entity::ids::{SessionId, UserId};

/// A signed-in user, as one access token shows them.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The user.
    pub user_id: UserId,
    /// The session that the access token belongs to.
    pub session_id: SessionId,
    /// What the user's roles allow.
    pub permissions: Arc<[Permission]>,
    /// When the access token expires.
    pub token_expires_at: DateTime<Utc>,
    /// Cancelled as soon as the session ends: sockets that it opened close then.
    pub session_ended: CancellationToken,
}

impl Viewer {
    /// Whether a role of the viewer allows this.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// # Errors
    /// [`Error::Forbidden`] unless the viewer may.
    pub fn require(&self, permission: Permission) -> Result<()> {
        self.require_all(&[permission])
    }

    /// # Errors
    /// [`Error::Forbidden`] unless the viewer may do all of these: nobody can grant or touch what is beyond them.
    pub fn require_all(&self, permissions: &[Permission]) -> Result<()> {
        if permissions.iter().all(|permission| self.may(*permission)) { Ok(()) } else { Err(Error::Forbidden) }
    }
}

/// What a request's credentials amount to.
#[derive(Debug, Clone)]
pub enum Requester {
    /// None were sent.
    Anonymous,
    /// Some were sent, and they are malformed, expired or revoked. Fails only fields that need a viewer: a client's auth link
    /// sends an expired token along with `refreshSession`.
    Dead,
    /// Some were sent, and the database was too busy to tell. Never taken for dead: the client would sign its user out.
    Unknown,
    /// A signed-in user.
    Viewer(Arc<Viewer>),
}

impl Requester {
    /// The viewer, or [`Error::Unauthenticated`], or [`Error::Unavailable`] where that is not known.
    pub fn viewer(&self) -> Result<&Viewer> {
        match self {
            Self::Viewer(viewer) => Ok(viewer),
            Self::Anonymous | Self::Dead => Err(Error::Unauthenticated),
            Self::Unknown => Err(Error::Unavailable {
                message: "The server is too busy to see who asks.",
                retry_after: Some(Duration::from_secs(1)),
            }),
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address, behind trusted proxies the one that they tell.
    pub ip: IpAddr,
    /// Its `User-Agent`, cut to 512 bytes.
    pub user_agent: Option<String>,
}
