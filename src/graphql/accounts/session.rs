//! Sessions.

use async_graphql::{ID, Object};

use crate::entity::session;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A session: a sign-in on one device.
#[derive(Debug, Clone)]
pub struct Session {
    /// The row of the session.
    pub row: session::Model,
    /// Whether the access token of this request, or the one that it returns, belongs to the session.
    pub is_current: bool,
}

/// A session: a sign-in on one device.
#[Object]
impl Session {
    /// The session's ID, with the prefix `sess`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// The name of the device, as given by the client at sign-in.
    async fn device(&self) -> Option<&str> {
        self.row.device.as_deref()
    }

    /// The `User-Agent` header of the sign-in request.
    async fn user_agent(&self) -> Option<&str> {
        self.row.user_agent.as_deref()
    }

    /// The IP address of the sign-in request.
    async fn ip_address(&self) -> Option<&str> {
        self.row.ip_address.as_deref()
    }

    /// The time when the session started.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The time when the session was last used, with a precision of one minute.
    async fn last_used_at(&self) -> DateTime {
        DateTime(self.row.last_used_at)
    }

    /// The time when the session expires unless it is refreshed before.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.row.expires_at)
    }

    /// Whether this is the session of the current request.
    async fn is_current(&self) -> bool {
        self.is_current
    }
}
