//! Sessions.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use crate::entity::session;
use crate::graphql::context::ContextExt as _;
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

    /// The time when the session ends, unless `refreshSession` is called before.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.row.expires_at)
    }

    /// Whether this is the session of the current request.
    async fn is_current(&self) -> bool {
        self.is_current
    }
}

/// The input of `revokeSession`.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// The ID of a session of the viewer.
    session_id: ID,
}

/// The payload of `revokeSession`.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The ID of the session that was ended.
    session_id: ID,
}

/// The payload of `logoutEverywhere`.
#[derive(SimpleObject)]
pub struct LogoutEverywherePayload {
    /// The number of sessions that were ended, including the current one.
    session_count: i32,
}

/// The queries of sessions.
#[derive(Default)]
pub struct SessionQueries;

#[Object]
impl SessionQueries {
    /// The session that the access token of this request belongs to. Null with a personal access token.
    async fn current_session(&self, ctx: &Context<'_>) -> Result<Option<Session>> {
        let row = ctx.state().accounts.current_session(ctx.requester()).await?;
        Ok(row.map(|row| Session { row, is_current: true }))
    }
}

/// The mutations of sessions.
#[derive(Default)]
pub struct SessionMutations;

#[Object]
impl SessionMutations {
    /// Ends all of the viewer's sessions immediately, including the current one. FORBIDDEN with a personal access
    /// token.
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Result<Option<LogoutEverywherePayload>> {
        let count = ctx.state().accounts.logout_everywhere(ctx.viewer()?, ctx.client()).await?;
        Ok(Some(LogoutEverywherePayload { session_count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    /// Ends a session of the viewer immediately: its tokens become invalid and its WebSockets are closed. FORBIDDEN
    /// with a personal access token.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `revokeSession`.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.session_id, "sessionId")?;
        ctx.state().accounts.revoke_session(viewer, id, ctx.client()).await?;
        Ok(Some(RevokeSessionPayload { session_id: input.session_id }))
    }
}
