//! Getting in, staying in, getting out.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::session::Session;
use super::user::User;
use crate::domain::accounts::{Credentials, NewUser, Registration, SignedIn};
use crate::graphql::as_viewer::AsViewer;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A new account.
#[derive(InputObject)]
pub struct RegisterInput {
    /// 3 to 32 ASCII letters, digits, dots, hyphens and underscores; unique without regard to case.
    username: String,
    /// Unique without regard to case.
    email: String,
    /// 8 to 128 characters that are not easily guessed.
    password: String,
    /// The person's name, at most 100 characters.
    full_name: Option<String>,
    /// What to call the device in the list of sessions, at most 100 characters.
    device: Option<String>,
}

/// What to sign in with.
#[derive(InputObject)]
pub struct LoginInput {
    /// A username or an e-mail address, without regard to case.
    login: String,
    /// The password.
    password: String,
    /// What to call the device in the list of sessions, at most 100 characters.
    device: Option<String>,
}

/// What to stay signed in with.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The newest refresh token of the session.
    refresh_token: String,
}

/// What a sign-in gives. The access token is a JWT; the refresh token is opaque and works once.
#[derive(SimpleObject)]
pub struct AuthPayload {
    /// Who is signed in now.
    user: User,
    /// The session that began or went on.
    session: Session,
    /// Travels as `Authorization: Bearer …`, or in the payload of `connection_init`.
    access_token: String,
    /// When the access token expires.
    access_token_expires_at: DateTime,
    /// For `refreshSession`.
    refresh_token: String,
    /// When the refresh token expires, and the session with it.
    refresh_token_expires_at: DateTime,
}

/// The payload, below which its user is the viewer: the request came without their credentials.
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

/// Which session ended.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// The session that ended.
    session_id: ID,
}

/// Who is signed in.
#[derive(Default)]
pub struct AccountQueries;

#[Object]
impl AccountQueries {
    /// The signed-in user. Null for a request without credentials; dead credentials are UNAUTHENTICATED.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(ctx.state().accounts.me(ctx.requester()).await?.map(User::from))
    }

    /// The session of this request's access token; null with a personal access token.
    async fn current_session(&self, ctx: &Context<'_>) -> Result<Option<Session>> {
        let row = ctx.state().accounts.current_session(ctx.requester()).await?;
        Ok(row.map(|row| Session { row, is_current: true }))
    }

    /// A user by username, without regard to case; null when there is none, or the account is closed.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The whole username.")] username: String,
    ) -> Result<Option<User>> {
        Ok(ctx.state().accounts.user_by_username(ctx.viewer()?, &username).await?.map(User::from))
    }
}

/// Getting in, staying in, getting out.
#[derive(Default)]
pub struct AccountMutations;

#[Object]
impl AccountMutations {
    /// Makes an account and signs in with it. FORBIDDEN where registration is closed, CONFLICT when a name is taken.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new account.")] input: RegisterInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        let RegisterInput { username, email, password, full_name, device } = input;
        let registration = Registration { user: NewUser { username, email, password, full_name }, device };
        Ok(Some(payload(ctx.state().accounts.register(registration, ctx.client()?).await?)))
    }

    /// Signs in by username or e-mail address. INVALID_CREDENTIALS, whatever is wrong.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to sign in with.")] input: LoginInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        let LoginInput { login, password, device } = input;
        let credentials = Credentials { login, password, device };
        Ok(Some(payload(ctx.state().accounts.login(credentials, ctx.client()?).await?)))
    }

    /// Answers a new pair; the old refresh token dies. For ten seconds, and until its successor is used, it answers that same
    /// successor again, for a client that lost the answer. Using a dead one again revokes the session (RFC 9700).
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to stay signed in with.")] input: RefreshSessionInput,
    ) -> Result<Option<AsViewer<AuthPayload>>> {
        Ok(Some(payload(ctx.state().accounts.refresh_session(&input.refresh_token, ctx.client()?).await?)))
    }

    /// Ends the session of this request's access token, at once: its tokens are dead and its sockets close. Fields that
    /// follow it in the document and need a viewer are UNAUTHENTICATED. FORBIDDEN with a personal access token.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let session_id = ctx.state().accounts.logout(ctx.requester(), ctx.client()?).await?;
        Ok(Some(LogoutPayload { session_id: ids::show(session_id) }))
    }
}
