//! Who asks.

use std::net::{IpAddr, Ipv6Addr};
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
