//! The authenticated user of a request, its permissions, and the client that sent the request.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::domain::{Error, Result};
use crate::entity::enums::Permission;
use crate::entity::ids::{ConnectionId, PersonalAccessTokenId, SessionId, UserId};

/// An authenticated user with the rights of the token that was used.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The user.
    pub user_id: UserId,
    /// The credential that was used.
    pub credential: Credential,
    /// The permissions of the user's roles, as far as the token includes them.
    pub permissions: Permissions,
    /// Whether the token allows mutations.
    pub may_write: bool,
    /// When the token expires. None if never.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Cancelled when the session or token ends. WebSocket connections that were opened with it are then closed.
    pub session_ended: CancellationToken,
}

/// The kind of credential that a viewer was authenticated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An access token of this session.
    Session(SessionId),
    /// This personal access token.
    Token(PersonalAccessTokenId),
}

impl Viewer {
    /// Whether the viewer has this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// # Errors
    /// [`Error::Forbidden`] without the permission.
    pub fn require(&self, permission: Permission) -> Result<()> {
        self.require_all(&[permission])
    }

    /// # Errors
    /// [`Error::Forbidden`] unless the viewer has all of these permissions. A user can neither grant a permission that
    /// they lack nor change a user or role that has it.
    pub fn require_all(&self, permissions: &[Permission]) -> Result<()> {
        if permissions.iter().all(|permission| self.may(*permission)) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The session. None with a personal access token.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(id) => Some(id),
            Credential::Token(_) => None,
        }
    }

    /// The session. Required by every change of accounts, roles, sessions and tokens: the effect of such a change would
    /// outlive a personal access token that is revoked.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token.
    pub fn session(&self) -> Result<SessionId> {
        self.session_id().ok_or(Error::Forbidden)
    }

    /// Combines [`Viewer::session`] and [`Viewer::require`].
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token, or without the permission.
    pub fn require_in_session(&self, permission: Permission) -> Result<()> {
        self.session()?;
        self.require(permission)
    }
}

/// The current permissions of a viewer. All viewers of one credential share them, so that long-running streams see
/// changes.
#[derive(Debug, Clone, Default)]
pub struct Permissions(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    as_of: u64,
    permissions: Vec<Permission>,
}

impl Permissions {
    /// Whether the permission is included.
    pub fn contains(&self, permission: Permission) -> bool {
        self.read().permissions.contains(&permission)
    }

    /// All permissions.
    pub fn all(&self) -> Vec<Permission> {
        self.read().permissions.clone()
    }

    /// Replaces the permissions by those read at `as_of`, unless newer ones are known. `as_of` is a counter, not a
    /// time.
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

/// The result of authenticating a request.
#[derive(Debug, Clone)]
pub enum Requester {
    /// The request has no credentials.
    Anonymous,
    /// The credentials are malformed, expired or revoked. Only fields that need a viewer fail, because a client may
    /// send an expired access token along with `refreshSession`.
    Dead,
    /// The credentials could not be checked, because the database was too busy. Not treated as invalid, which would
    /// make the client sign its user out.
    Unknown,
    /// An authenticated user.
    Viewer(Arc<Viewer>),
}

impl Requester {
    /// Checks that a mutation may run. Only a personal access token without write scope is refused here; the mutation
    /// checks everything else itself.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn may_write(&self) -> Result<()> {
        match self {
            Self::Viewer(viewer) if !viewer.may_write => Err(Error::Forbidden),
            _ => Ok(()),
        }
    }

    /// The viewer.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] without valid credentials; [`Error::Unavailable`] if they could not be checked.
    pub fn viewer(&self) -> Result<&Viewer> {
        match self {
            Self::Viewer(viewer) => Ok(viewer),
            Self::Anonymous | Self::Dead => Err(Error::Unauthenticated),
            Self::Unknown => Err(Error::Unavailable {
                message: "The server is too busy to check the credentials. Try again.",
                retry_after: Some(Duration::from_secs(1)),
            }),
        }
    }
}

/// The client that sent a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The IP address. Behind trusted proxies, the address that they report.
    pub ip: IpAddr,
    /// The `User-Agent` header, truncated to 512 bytes.
    pub user_agent: Option<String>,
    /// The WebSocket that the request was sent over. None for HTTP.
    pub connection: Option<ConnectionId>,
}

impl Client {
    /// The network of the client, by which limits are counted.
    pub fn network(&self) -> IpAddr {
        network(self.ip)
    }
}

/// The part of an address that identifies a subscriber: a whole IPv4 address, or the /64 prefix of an IPv6 address,
/// because a subscriber can choose any address within its /64 (RFC 4291, section 2.5.4).
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
    fn a_network_is_an_ipv4_address_or_an_ipv6_64() {
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
