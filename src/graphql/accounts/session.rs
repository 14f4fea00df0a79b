//! Sessions.

use async_graphql::{ID, Object};

use crate::entity::session;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A sign-in on one device.
#[derive(Debug, Clone)]
pub struct Session {
    /// The row.
    pub row: session::Model,
    /// Whether this request's access token, or the one that it was just given, belongs to it.
    pub is_current: bool,
}

/// A sign-in on one device.
#[Object]
impl Session {
    /// Opaque, and unique among all objects.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// What the client called the device when it signed in.
    async fn device(&self) -> Option<&str> {
        self.row.device.as_deref()
    }

    /// The `User-Agent` of the sign-in.
    async fn user_agent(&self) -> Option<&str> {
        self.row.user_agent.as_deref()
    }

    /// The address of the sign-in.
    async fn ip_address(&self) -> Option<&str> {
        self.row.ip_address.as_deref()
    }

    /// When it began.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When it was last used, to the minute.
    async fn last_used_at(&self) -> DateTime {
        DateTime(self.row.last_used_at)
    }

    /// When it ends unless it is refreshed before.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.row.expires_at)
    }

    /// Whether it is the session of this request.
    async fn is_current(&self) -> bool {
        self.is_current
    }
}
