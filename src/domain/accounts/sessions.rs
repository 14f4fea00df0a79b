//! Signing in, refreshing sessions, signing out, and authenticating requests.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::live_sessions::LiveSession;
use super::personal_access_tokens::is_token;
use super::reauthentication::lock_checked;
use super::tokens::{VerifiedRefreshToken, refresh_hash};
use super::{Accounts, names, union};
use crate::domain::audit::{Action, Entry};
use crate::domain::input::Checks;
use crate::domain::{Client, Credential, Error, FieldErrorCode, Requester, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::{session, user};
use crate::storage::{sessions, users};

/// The time for which a used refresh token can be used again, for a client that did not receive the response.
const REPEAT_WINDOW: TimeDelta = TimeDelta::seconds(10);
/// The precision of the last-used time of sessions and tokens.
pub(super) const TOUCH_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// The maximum number of sessions of one user.
pub const MAX_SESSIONS: u64 = 100;

/// The input for a sign-in.
#[derive(Clone)]
pub struct Credentials {
    /// The username or e-mail address, without regard to case.
    pub login: String,
    /// The password.
    pub password: String,
    /// A name for the device; at most 100 characters.
    pub device: Option<String>,
}

/// The result of a sign-in or a refresh.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The user.
    pub user: user::Model,
    /// The session.
    pub session: session::Model,
    /// The authenticated viewer, for the remaining fields of the request.
    pub viewer: Arc<Viewer>,
    /// A JWT.
    pub access_token: String,
    /// When the access token expires.
    pub access_token_expires_at: DateTime<Utc>,
    /// An opaque token that can be used once.
    pub refresh_token: String,
    /// When the refresh token, and with it the session, expires.
    pub refresh_token_expires_at: DateTime<Utc>,
}

/// The row of a new session, and its refresh token, which is not stored.
pub(super) struct NewSession {
    pub(super) row: session::Model,
    refresh_token: String,
}

impl Accounts {
    /// Signs in and begins a session. If the user has more than [`MAX_SESSIONS`], the least recently used one ends.
    /// Neither the response nor its time reveals whether the login is unknown, the password is wrong or the account is
    /// deactivated.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`]; [`Error::LockedOut`] after too many of them; [`Error::Invalid`] for malformed
    /// input; [`Error::Unavailable`] if too many requests wait for a password check.
    pub async fn login(&self, credentials: Credentials, client: &Client) -> Result<SignedIn> {
        let Credentials { login, password, device } = credentials;
        let mut checks = Checks::default();
        let device = names::device(&mut checks, "device", device.as_deref());
        for (field, text) in [("login", login.trim()), ("password", password.as_str())] {
            if text.is_empty() {
                checks.fail(
                    field,
                    FieldErrorCode::Required,
                    "A username or e-mail address and a password are required.",
                );
            }
        }
        checks.finish()?;
        let user = self.user_by_login(&login).await?;
        let attempt = self.attempt(&names::key(&login), user.as_ref(), client);
        self.check_lock(self.0.database.reader(), &attempt).await?;
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let is_right = self.0.passwords.verify(password, stored).await?;
        let Some(user) = user.filter(|user| is_right && user.is_active) else {
            return Err(self.login_failed(&attempt, client).await);
        };
        self.check_attempt_limit(&attempt).await?;
        let session = self.new_session(user.id, device, client)?;
        let transaction = self.0.database.begin().await?;
        // The password may have been changed or the account deactivated during the hash.
        match lock_checked(&transaction, &user).await {
            Err(Error::InvalidCredentials) => {
                drop(transaction);
                return Err(self.login_failed(&attempt, client).await);
            }
            locked => drop(locked?),
        }
        self.login_succeeded(&transaction, &attempt, user.id).await?;
        sessions::insert(&transaction, session.row.clone()).await?;
        let ended = sessions::delete_beyond(&transaction, user.id, MAX_SESSIONS).await?;
        sessions::touch(&transaction, session.row.id, user.id, session.row.created_at).await?;
        let entry = self.audit(Action::UserLoggedIn, client).by(user.id).on(session.row.id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_sessions(ended).await;
        self.signed_in(user, session).await
    }

    /// Exchanges a refresh token, which can be used once, for a new pair of tokens. A repeat within ten seconds, after
    /// a lost response, returns the same tokens until the new refresh token is used. Any other use of an old token ends
    /// the session, because it indicates theft (RFC 9700, section 4.14.2).
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for an invalid token, whatever the reason.
    pub async fn refresh_session(&self, refresh_token: &str, client: &Client) -> Result<SignedIn> {
        let token = self.0.tokens.read_refresh(refresh_token).ok_or(Error::InvalidCredentials)?;
        let next = self.0.tokens.next_refresh(&token).ok_or(Error::InvalidCredentials)?;
        let next = self.0.tokens.write_refresh(&next);
        let next_hash = refresh_hash(&next);
        let now = self.0.clock.now();
        // At most two attempts: if a concurrent rotation wins the race, the second attempt sees its result.
        for _ in 0..2 {
            let found = sessions::find_with_user(self.0.database.reader(), token.session_id()).await?;
            let Some((row, user)) = found.filter(|(row, user)| row.expires_at > now && user.is_active) else {
                return Err(Error::InvalidCredentials);
            };
            match refresh_token_state(&token, &next_hash, &row, now) {
                RefreshTokenState::Current => {
                    let Some(row) = self.rotate(row, &next_hash, now).await? else { continue };
                    return self.signed_in(user, NewSession { row, refresh_token: next }).await;
                }
                RefreshTokenState::Repeated => {
                    return self.signed_in(user, NewSession { row, refresh_token: next }).await;
                }
                RefreshTokenState::Reused => {
                    tracing::warn!(session = %row.id, user = %row.user_id, "a refresh token was used twice; the session is ended");
                    let entry = self.audit(Action::SessionReuseDetected, client).on(row.id);
                    self.end_session(row.id, entry.detail(json!({ "userId": row.user_id }))).await?;
                    return Err(Error::InvalidCredentials);
                }
                RefreshTokenState::Foreign => return Err(Error::InvalidCredentials),
            }
        }
        Err(Error::InvalidCredentials)
    }

    /// Ends the viewer's session: its tokens stop working and its WebSocket connections close at once.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a viewer, [`Error::Forbidden`] with a personal access token.
    pub async fn logout(&self, requester: &Requester, client: &Client) -> Result<SessionId> {
        let viewer = requester.viewer()?;
        let session_id = viewer.session()?;
        let entry = self.audit(Action::UserLoggedOut, client).by(viewer.user_id).on(session_id);
        self.end_session(session_id, entry).await?;
        Ok(session_id)
    }

    /// Authenticates by the value of an `Authorization` header (RFC 6750) or of `connection_init` on a WebSocket.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Requester {
        let Some(value) = authorization else { return Requester::Anonymous };
        let token = value.trim().split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let viewer = match token.map(|(_, token)| token.trim()) {
            None => return Requester::Dead,
            Some(token) if is_token(token) => self.token_viewer(token).await,
            Some(token) => self.session_viewer(token).await,
        };
        match viewer {
            Ok(Some(viewer)) => Requester::Viewer(Arc::new(viewer)),
            Ok(None) => Requester::Dead,
            Err(cause) => {
                tracing::warn!(
                    exception.message = &cause as &dyn std::error::Error,
                    "credentials could not be checked"
                );
                Requester::Unknown
            }
        }
    }

    /// The viewer of an access token. None if the token is invalid, whatever the reason.
    async fn session_viewer(&self, token: &str) -> Result<Option<Viewer>> {
        let Some(access) = self.0.tokens.read_access(token, self.0.clock.now()) else { return Ok(None) };
        let viewer = self.viewer(access.session_id, access.expires_at).await?;
        Ok(viewer.filter(|viewer| viewer.user_id == access.user_id))
    }

    /// A session that begins now.
    pub(super) fn new_session(&self, user_id: UserId, device: Option<String>, client: &Client) -> Result<NewSession> {
        let now = self.0.clock.now();
        let id = SessionId(self.0.ids.next(now));
        let refresh_token = self.0.tokens.write_refresh(&self.0.tokens.first_refresh(id)?);
        // PostgreSQL rejects NUL in a text, and headers may contain it.
        let user_agent = client.user_agent.as_ref().map(|agent| agent.replace(char::is_control, ""));
        let row = session::Model {
            id,
            user_id,
            device,
            user_agent: user_agent.filter(|agent| !agent.is_empty()),
            ip_address: Some(client.ip.to_string()),
            created_at: now,
            last_used_at: now,
            expires_at: now + self.0.refresh_lifetime,
            refresh_hash: refresh_hash(&refresh_token),
            previous_refresh_hash: None,
            generation: 0,
            rotated_at: now,
        };
        Ok(NewSession { row, refresh_token })
    }

    /// The result of a sign-in whose session is committed.
    pub(super) async fn signed_in(&self, user: user::Model, session: NewSession) -> Result<SignedIn> {
        let NewSession { row, refresh_token } = session;
        let now = self.0.clock.now();
        let (access_token, access_token_expires_at) = self.0.tokens.issue_access(user.id, row.id, now)?;
        let viewer = self.viewer(row.id, access_token_expires_at).await?.ok_or(Error::InvalidCredentials)?;
        Ok(SignedIn {
            user,
            viewer: Arc::new(viewer),
            access_token,
            access_token_expires_at,
            refresh_token,
            refresh_token_expires_at: row.expires_at,
            session: row,
        })
    }

    /// Deletes a session, writes the audit entry, and closes the session's connections on this node.
    async fn end_session(&self, id: SessionId, entry: Entry) -> Result<()> {
        let transaction = self.0.database.begin().await?;
        sessions::delete(&transaction, id).await?;
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.0.live.end(id).await;
        Ok(())
    }

    /// The row after the rotation. None if a concurrent request was faster.
    async fn rotate(
        &self,
        row: session::Model,
        next_hash: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<session::Model>> {
        let expires_at = now + self.0.refresh_lifetime;
        let transaction = self.0.database.begin().await?;
        let is_rotated = sessions::rotate(&transaction, &row, next_hash, expires_at, now).await?;
        transaction.commit().await?;
        Ok(is_rotated.then(|| session::Model {
            generation: row.generation + 1,
            previous_refresh_hash: Some(row.refresh_hash),
            refresh_hash: next_hash.to_vec(),
            rotated_at: now,
            last_used_at: now,
            expires_at,
            ..row
        }))
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<user::Model>> {
        let Some(key) = names::searchable(login) else { return Ok(None) };
        let reader = self.0.database.reader();
        let user = if key.contains('@') {
            users::find_by_email(reader, &key).await?
        } else {
            users::find_by_username(reader, &key).await?
        };
        Ok(user)
    }

    /// The viewer of a session. None if the session has ended or its user is deactivated.
    async fn viewer(&self, session_id: SessionId, token_expires_at: DateTime<Utc>) -> Result<Option<Viewer>> {
        self.0.live.get(session_id.into(), Some(token_expires_at), || self.load_session(session_id)).await
    }

    async fn load_session(&self, id: SessionId) -> Result<Option<LiveSession>> {
        let now = self.0.clock.now();
        let states = sessions::state(self.0.database.reader(), id).await?;
        let Some(session) = states.first().filter(|session| session.expires_at > now && session.is_active) else {
            return Ok(None);
        };
        if now - session.last_used_at >= TOUCH_INTERVAL {
            self.touch_later(id, session.user_id, now);
        }
        let permissions = union(states.iter().filter_map(|role| role.permissions.as_deref()));
        Ok(Some(LiveSession {
            user_id: session.user_id,
            credential: Credential::Session(id),
            may_write: true,
            permissions: Some(permissions.into()),
            expires_at: None,
        }))
    }

    /// Records the use in the background, so that the request does not wait for the database writer.
    fn touch_later(&self, session_id: SessionId, user_id: UserId, now: DateTime<Utc>) {
        let database = self.0.database.clone();
        self.0.tracker.spawn(async move {
            let touched = async {
                let transaction = database.begin().await?;
                sessions::touch(&transaction, session_id, user_id, now).await?;
                transaction.commit().await
            };
            if let Err(cause) = touched.await {
                tracing::warn!(
                    exception.message = &cause as &dyn std::error::Error,
                    "last use of a session not recorded"
                );
            }
        });
    }
}

/// The state of a genuine refresh token in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RefreshTokenState {
    /// The current token.
    Current,
    /// The previous token, replaced moments ago by a token that is still unused.
    Repeated,
    /// A token that was used before.
    Reused,
    /// A token that the session never had: after restoring a database, or after a change of the signing secrets.
    Foreign,
}

fn refresh_token_state(
    token: &VerifiedRefreshToken,
    next_hash: &[u8],
    row: &session::Model,
    now: DateTime<Utc>,
) -> RefreshTokenState {
    let is = |stored: &[u8], hash: &[u8]| bool::from(stored.ct_eq(hash));
    let (generation, current) = (token.generation(), i64::from(row.generation));
    if generation == current && is(&row.refresh_hash, token.hash()) {
        return RefreshTokenState::Current;
    }
    if generation >= current {
        return RefreshTokenState::Foreign;
    }
    let is_previous =
        generation + 1 == current && row.previous_refresh_hash.as_deref().is_some_and(|hash| is(hash, token.hash()));
    if is_previous && now - row.rotated_at <= REPEAT_WINDOW {
        // The successor differs only if the signing secrets were changed in between.
        return if is(&row.refresh_hash, next_hash) { RefreshTokenState::Repeated } else { RefreshTokenState::Foreign };
    }
    RefreshTokenState::Reused
}
