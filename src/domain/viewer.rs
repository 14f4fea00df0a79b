//! Who asks.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::domain::{Error, Result};
use crate::entity::enums::Permission;
use crate::entity::ids::{PersonalAccessTokenId, SessionId, UserId};

/// A signed-in user, as one token shows them.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The user.
    pub user_id: UserId,
    /// What the token stands for.
    pub credential: Credential,
    /// What the user's roles allow, as far as the token carries it.
    pub permissions: Permissions,
    /// Whether the token carries mutations.
    pub may_write: bool,
    /// When the token expires; none is never.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Cancelled as soon as the session or the token ends: sockets that it opened close then.
    pub session_ended: CancellationToken,
}

/// How a viewer is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// With an access token of this session.
    Session(SessionId),
    /// As a program, with this personal access token.
    Token(PersonalAccessTokenId),
}

impl Viewer {
    /// Whether a role of the viewer allows this.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
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

    /// The session, where there is one.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(id) => Some(id),
            Credential::Token(_) => None,
        }
    }

    /// The session. Required by everything that changes accounts, roles, sessions or tokens: its effect would outlive a
    /// personal access token that is revoked.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token.
    pub fn session(&self) -> Result<SessionId> {
        self.session_id().ok_or(Error::Forbidden)
    }

    /// Both [`Viewer::session`] and [`Viewer::require`].
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token, and without the permission.
    pub fn require_in_session(&self, permission: Permission) -> Result<()> {
        self.session()?;
        self.require(permission)
    }
}

/// What a user's roles allow now. All viewers of one credential share it, so that a stream which began long ago sees a permission
/// go.
#[derive(Debug, Clone, Default)]
pub struct Permissions(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    as_of: u64,
    permissions: Vec<Permission>,
}

impl Permissions {
    /// Whether this is among them.
    pub fn contains(&self, permission: Permission) -> bool {
        self.read().permissions.contains(&permission)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Permission> {
        self.read().permissions.clone()
    }

    /// Learns what was read at a moment, unless something newer is known. Moments are counted, not timed.
    pub fn learn(&self, permissions: &[Permission], as_of: u64) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if as_of >= known.as_of {
            *known = Known { as_of, permissions: permissions.to_vec() };
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
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
    /// Whether a mutation may run: for everybody but a program whose token carries none. What it does then, it checks itself.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn may_write(&self) -> Result<()> {
        match self {
            Self::Viewer(viewer) if !viewer.may_write => Err(Error::Forbidden),
            _ => Ok(()),
        }
    }

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

impl Client {
    /// The network that the client counts for.
    pub fn network(&self) -> IpAddr {
        network(self.ip)
    }
}

/// What of an address tells one subscriber from another: all of IPv4, and the first half of IPv6, in whose other half a
/// subscriber picks addresses as they like (RFC 4291, section 2.5.4).
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        ip @ IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_64() {
        for (ip, wanted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:ffff::9", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
        ] {
            assert_eq!(network(ip.parse().unwrap()), wanted.parse::<IpAddr>().unwrap(), "{ip}");
        }
    }
}
