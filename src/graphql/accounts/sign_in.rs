//! Registration, sign-in, session refresh and sign-out.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::session::Session;
use super::user::User;
use crate::domain::accounts::{Credentials, NewUser, Registration, SignedIn};
use crate::graphql::as_viewer::AsViewer;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// The input of `register`.
#[derive(InputObject)]
pub struct RegisterInput {
    /// The username. 3 to 32 ASCII letters, digits, dots, hyphens and underscores; unique, ignoring case.
    username: String,
    /// The email address. Unique, ignoring case.
    email: String,
    /// The password. 8 to 128 characters; not easy to guess.
    password: String,
    /// The full name. At most 100 characters.
    full_name: Option<String>,
    /// A name for the device, shown in the list of sessions. At most 100 characters.
    device: Option<String>,
}

/// The input of `login`.
#[derive(InputObject)]
pub struct LoginInput {
    /// A username or an email address, ignoring case.
    login: String,
    /// The password.
    password: String,
    /// A name for the device, shown in the list of sessions. At most 100 characters.
    device: Option<String>,
}

/// The input of `refreshSession`.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The latest refresh token of the session.
    refresh_token: String,
}

/// The payload of a sign-in. The access token is a JWT; the refresh token is opaque and can be used only once.
#[derive(SimpleObject)]
pub struct AuthPayload {
    /// The signed-in user.
    user: User,
    /// The session that was started or continued.
    session: Session,
    /// The access token, sent as `Authorization: Bearer …` or in the payload of `connection_init`.
    access_token: String,
    /// The time when the access token expires.
    access_token_expires_at: DateTime,
    /// The refresh token, for `refreshSession`.
    refresh_token: String,
    /// The time when the refresh token, and with it the session, expires.
    refresh_token_expires_at: DateTime,
}

/// Creates the payload. Its fields are resolved with the signed-in user as the viewer, because the request has no
/// credentials of that user.
fn payload(signed_in: SignedIn) -> AsViewer<AuthPayload> {
    let payload = AuthPayload {
        user: signed_in.user.into(),
        session: Session { row: signed_in.session, is_current: true },
        access_token: signed_in.access_token,
        access_token_expires_at: DateTime(signed_in.access_token_expires_at),
        refresh_token: signed_in.refresh_token,
        refresh_token_expires_at: DateTime(signed_in.refresh_token_expires_at),
    };
    AsViewer::new(signed_in.viewer, payload)
}

/// The payload of `logout`.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// The ID of the session that was ended.
    session_id: ID,
}

/// Registration, sign-in, session refresh and sign-out.
#[derive(Default)]
pub struct SignInMutations;

#[Object]
impl SignInMutations {
    /// Creates an account and signs in. FORBIDDEN if registration is closed. CONFLICT if the username or email address
    /// is taken.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `register`.")] input: RegisterInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        let RegisterInput { username, email, password, full_name, device } = input;
        let registration = Registration { user: NewUser { username, email, password, full_name }, device };
        Ok(Some(payload(ctx.state().accounts.register(registration, ctx.client()).await?)))
    }

    /// Signs in with a username or email address and a password. INVALID_CREDENTIALS for an unknown login, a wrong
    /// password and a deactivated account alike; LOCKED_OUT after too many failures.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `login`.")] input: LoginInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        let LoginInput { login, password, device } = input;
        let credentials = Credentials { login, password, device };
        Ok(Some(payload(ctx.state().accounts.login(credentials, ctx.client()).await?)))
    }

    /// Returns a new pair of tokens and invalidates the old refresh token. For ten seconds, and until the new refresh
    /// token is used, the old one returns the same new one again, for a client that lost the response. Reusing an
    /// invalidated refresh token revokes the session (RFC 9700).
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `refreshSession`.")] input: RefreshSessionInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        Ok(Some(payload(ctx.state().accounts.refresh_session(&input.refresh_token, ctx.client()).await?)))
    }

    /// Ends the session of this request's access token immediately: its tokens become invalid and its WebSockets are
    /// closed. Later fields in the same document that require a viewer are UNAUTHENTICATED. FORBIDDEN with a personal
    /// access token.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let session_id = ctx.state().accounts.logout(ctx.requester(), ctx.client()).await?;
        Ok(Some(LogoutPayload { session_id: ids::show(session_id) }))
    }
}
