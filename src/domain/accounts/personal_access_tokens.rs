//! Personal access tokens, with which programs act for their users: with limited rights and without a sign-in, until
//! the tokens expire or are revoked.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::live_sessions::{Key, LiveSession};
use super::{Accounts, names, opaque_tokens};
use crate::domain::audit::Action;
use crate::domain::input::Checks;
use crate::domain::{Client, Credential, Error, FieldErrorCode, Result, Viewer, audit};
use crate::entity::enums::{Permission, TokenScope};
use crate::entity::ids::{PersonalAccessTokenId, UserId};
use crate::entity::personal_access_token::Model;
use crate::storage::{personal_access_tokens as rows, sessions, users};

/// The prefix of a token, by which people and secret scanners recognize it.
const PREFIX: &str = "duo_pat_";
/// The maximum number of tokens of one user.
pub const MAX_TOKENS: u64 = 50;
/// The maximum number of scopes in the input. There are fewer scopes, and duplicates are ignored.
const MAX_SCOPES: usize = 10;

/// The input for a new token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The name: 1 to 100 characters.
    pub name: String,
    /// The scopes; at least one.
    pub scopes: Vec<TokenScope>,
    /// When the token expires, in the future. None if never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Accounts {
    /// Creates a token. Returns its row and the secret, which is not stored.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] if the viewer has the maximum number of tokens; [`Error::Forbidden`]
    /// with a personal access token.
    pub async fn create_token(&self, viewer: &Viewer, new: NewToken, client: &Client) -> Result<(Model, String)> {
        let session = viewer.session()?;
        let now = self.0.clock.now();
        let mut checks = Checks::default();
        let name = names::token_name(&mut checks, "name", &new.name);
        if new.scopes.is_empty() {
            checks.fail("scopes", FieldErrorCode::Required, "At least one scope is required.");
        } else if new.scopes.len() > MAX_SCOPES {
            checks.fail("scopes", FieldErrorCode::TooLong, format!("At most {MAX_SCOPES} scopes are allowed."));
        }
        if new.expires_at.is_some_and(|at| at <= now) {
            checks.fail("expiresAt", FieldErrorCode::OutOfRange, "Must be in the future.");
        }
        checks.finish()?;
        let secret = opaque_tokens::make(PREFIX)?;
        let token = Model {
            id: PersonalAccessTokenId(self.0.ids.next(now)),
            user_id: viewer.user_id,
            name,
            scopes: TokenScope::join(&new.scopes),
            token_hash: opaque_tokens::hash(&secret).to_vec(),
            created_at: now,
            last_used_at: None,
            expires_at: new.expires_at,
        };
        let transaction = self.0.database.begin().await?;
        users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?;
        // If the session ended meanwhile, for example by a new password, it must not leave a token behind.
        sessions::find_with_user(&transaction, session).await?.ok_or(Error::Unauthenticated)?;
        if rows::count(&transaction, viewer.user_id).await? >= MAX_TOKENS {
            let message = "At most 50 personal access tokens per user are allowed.";
            return Err(Error::Conflict { message, fields: Vec::new() });
        }
        rows::insert(&transaction, token.clone()).await?;
        let entry = self.audit(Action::PersonalAccessTokenCreated, client).by(viewer.user_id).on(token.id);
        audit::record(&transaction, entry.detail(json!({ "scopes": token.scopes }))).await?;
        transaction.commit().await?;
        Ok((token, secret))
    }

    /// Revokes a token of the viewer: it stops working and its WebSocket connections close at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] with a personal access token.
    pub async fn revoke_token(&self, viewer: &Viewer, id: PersonalAccessTokenId, client: &Client) -> Result<()> {
        viewer.session()?;
        let found = rows::find(self.0.database.reader(), id).await?;
        let token = found.filter(|token| token.user_id == viewer.user_id).ok_or(Error::NotFound)?;
        let transaction = self.0.database.begin().await?;
        if !rows::delete(&transaction, id).await? {
            return Err(Error::NotFound);
        }
        let entry = self.audit(Action::PersonalAccessTokenRevoked, client).by(viewer.user_id).on(id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.0.live.end(Key::of_token(&token.token_hash)).await;
        Ok(())
    }

    /// The tokens of these users, newest first. The caller checks with [`account_of`](super::account_of) which of them
    /// the viewer may see.
    pub async fn tokens_of(&self, ids: &[UserId]) -> Result<Vec<Model>> {
        Ok(rows::of_users(self.0.database.reader(), ids).await?)
    }

    /// Those of these tokens that belong to the viewer; with USERS_READ, also those of other users.
    pub async fn tokens(&self, viewer: &Viewer, ids: &[PersonalAccessTokenId]) -> Result<Vec<Model>> {
        let mut found = rows::find_all(self.0.database.reader(), ids).await?;
        found.retain(|token| token.user_id == viewer.user_id || viewer.may(Permission::UsersRead));
        Ok(found)
    }

    /// The viewer of a token. None if the token is unknown or expired, or its user is deactivated.
    pub(super) async fn token_viewer(&self, text: &str) -> Result<Option<Viewer>> {
        let hash = opaque_tokens::hash(text);
        let viewer = self.0.live.get(Key::Token(hash), None, || self.load_token(&hash)).await?;
        let now = self.0.clock.now();
        Ok(viewer.filter(|viewer| viewer.token_expires_at.is_none_or(|at| at > now)))
    }

    async fn load_token(&self, hash: &[u8]) -> Result<Option<LiveSession>> {
        let now = self.0.clock.now();
        let reader = self.0.database.reader();
        let Some((token, user)) = rows::find_by_hash(reader, hash).await?.filter(|(_, user)| user.is_active) else {
            return Ok(None);
        };
        let scopes = TokenScope::parse_list(&token.scopes);
        let permissions = match scopes.contains(&TokenScope::Admin) {
            true => Some(self.permissions(user.id).await?),
            false => None,
        };
        if token.last_used_at.is_none_or(|used| now - used >= super::sessions::TOUCH_INTERVAL) {
            self.touch_token_later(token.clone(), now);
        }
        Ok(Some(LiveSession {
            user_id: user.id,
            credential: Credential::Token(token.id),
            may_write: scopes.contains(&TokenScope::Write),
            permissions,
            expires_at: token.expires_at,
        }))
    }

    /// Records the use in the background, so that the request does not wait for the database writer.
    fn touch_token_later(&self, token: Model, now: DateTime<Utc>) {
        let database = self.0.database.clone();
        self.0.tracker.spawn(async move {
            let touched = async {
                let transaction = database.begin().await?;
                rows::touch(&transaction, &token, now).await?;
                transaction.commit().await
            };
            if let Err(cause) = touched.await {
                tracing::warn!(
                    exception.message = &cause as &dyn std::error::Error,
                    "last use of a token not recorded"
                );
            }
        });
    }
}

/// Whether a bearer token has the form of a personal access token.
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}
