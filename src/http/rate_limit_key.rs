//! The key by which requests are rate limited.

use std::net::IpAddr;

use crate::domain::{Client, Requester, viewer};
use crate::entity::ids::UserId;

/// A signed-in user, or the network of an anonymous client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RateLimitKey {
    User(UserId),
    Network(IpAddr),
}

impl RateLimitKey {
    pub(super) fn network(ip: IpAddr) -> Self {
        Self::Network(viewer::network(ip))
    }

    pub(super) fn of(requester: &Requester, client: &Client) -> Self {
        match requester {
            Requester::Viewer(viewer) => Self::User(viewer.user_id),
            Requester::Anonymous | Requester::Dead | Requester::Unknown => Self::Network(client.network()),
        }
    }
}
