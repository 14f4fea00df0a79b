//! The tokens of a session: short-lived access tokens (JWT) and single-use refresh tokens (opaque).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config::auth::SigningSecrets;
use crate::domain::{Error, Result};
use crate::entity::ids::{SessionId, UserId};

/// `iss` and `aud`: this server is both issuer and audience.
const ISSUER: &str = "duologue";
/// `typ` of an access token (RFC 9068, section 2.1), so that no other JWT signed with the same key is accepted as one.
const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// The longest token that is parsed, in bytes. Tokens of this server are shorter than half of it.
const MAX_TOKEN_LENGTH: usize = 1024;
/// The clock difference between two nodes, in seconds, up to which a new token is accepted before its `nbf`.
const CLOCK_SKEW: i64 = 5;
/// The prefix of a refresh token, by which people and secret scanners recognize it.
const REFRESH_PREFIX: &str = "dlr_";
const SECRET_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const REFRESH_BYTES: usize = 16 + 4 + SECRET_BYTES + TAG_BYTES;

/// Issues and verifies tokens. The first secret signs; all secrets verify.
pub struct Tokens {
    signer: Key,
    older: Vec<Key>,
    access_lifetime: Duration,
    validation: Validation,
}

struct Key {
    /// `kid`: a truncated hash of the secret.
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    refresh: Hmac<Sha256>,
}

/// The content of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Tokens {
    /// # Errors
    /// When there is no secret.
    pub fn new(secrets: &SigningSecrets, access_lifetime: Duration) -> Result<Self> {
        let mut keys = secrets.iter().map(|secret| Key::new(secret.expose().as_bytes()));
        let signer = keys.next().ok_or_else(|| Error::internal("no secret to sign with"))??;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Checked below against the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self { signer, older: keys.collect::<Result<_>>()?, access_lifetime, validation })
    }

    /// The lifetime of an access token.
    pub fn access_lifetime(&self) -> Duration {
        self.access_lifetime
    }

    /// A new access token and its expiry, which has a precision of one second, as JWTs do.
    pub fn issue_access(
        &self,
        user_id: UserId,
        session_id: SessionId,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>)> {
        let issued = now.timestamp();
        let lifetime = i64::try_from(self.access_lifetime.as_secs()).map_err(Error::internal)?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user_id.to_string(),
            sid: session_id.to_string(),
            iat: issued,
            nbf: issued,
            exp: issued + lifetime,
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(self.signer.id.clone());
        let token = encode(&header, &claims, &self.signer.encoding).map_err(Error::internal)?;
        let expires_at =
            DateTime::from_timestamp(claims.exp, 0).ok_or_else(|| Error::internal("expiry out of range"))?;
        Ok((token, expires_at))
    }

    /// Verifies and parses an access token: the signature and algorithm, issuer, audience, and validity at `now`. None
    /// if any check fails.
    pub fn read_access(&self, token: &str, now: DateTime<Utc>) -> Option<AccessToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let header = decode_header(token).ok()?;
        if header.typ.as_deref() != Some(ACCESS_TOKEN_TYPE) || header.crit.is_some() {
            return None;
        }
        let key = self.keys().find(|key| header.kid.as_deref() == Some(key.id.as_str()))?;
        let claims = decode::<Claims>(token, &key.decoding, &self.validation).ok()?.claims;
        if now.timestamp() >= claims.exp || now.timestamp() + CLOCK_SKEW < claims.nbf {
            return None;
        }
        Some(AccessToken {
            user_id: claims.sub.parse().ok()?,
            session_id: claims.sid.parse().ok()?,
            expires_at: DateTime::from_timestamp(claims.exp, 0)?,
        })
    }

    /// The key under which failed sign-ins of an unknown, folded login are counted. A keyed hash, because people may
    /// type passwords into the login field.
    pub fn login_key(&self, login: &str) -> [u8; SECRET_BYTES] {
        self.signer.mac("login", &[login.as_bytes()])
    }

    /// The key under which failed sign-ins of an account are counted. It does not depend on the account's current
    /// names.
    pub fn account_key(&self, user_id: UserId, by: LoginName) -> [u8; SECRET_BYTES] {
        let purpose = match by {
            LoginName::Username => "account by username",
            LoginName::Email => "account by e-mail address",
        };
        self.signer.mac(purpose, &[user_id.0.as_bytes()])
    }

    /// The first refresh token of a session.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub fn first_refresh(&self, session_id: SessionId) -> Result<RefreshToken> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(Error::internal)?;
        Ok(RefreshToken { session_id, generation: 0, secret })
    }

    /// The successor of a refresh token. Always the same one, so that a client can repeat a request whose response was
    /// lost. None at the largest generation number, which no session reaches.
    pub fn next_refresh(&self, token: &VerifiedRefreshToken) -> Option<RefreshToken> {
        let RefreshToken { session_id, generation, secret } = token.token;
        let generation = generation.checked_add(1).filter(|next| i32::try_from(*next).is_ok())?;
        let key = self.keys().find(|key| key.id == token.key_id)?;
        let next = key.mac("next", &[&secret, session_id.0.as_bytes(), &generation.to_be_bytes()]);
        Some(RefreshToken { session_id, generation, secret: next })
    }

    /// The text form of a refresh token.
    pub fn write_refresh(&self, token: &RefreshToken) -> String {
        let mut bytes = token.body();
        bytes.extend_from_slice(&self.signer.tag(token));
        format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Parses a refresh token and verifies that one of the server's keys made it. None otherwise: guessed and foreign
    /// tokens never reach the database and never end a session.
    pub fn read_refresh(&self, text: &str) -> Option<VerifiedRefreshToken> {
        if text.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let bytes: [u8; REFRESH_BYTES] =
            URL_SAFE_NO_PAD.decode(text.strip_prefix(REFRESH_PREFIX)?).ok()?.try_into().ok()?;
        let (session_id, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (secret, tag) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let token = RefreshToken {
            session_id: SessionId(Uuid::from_bytes(*session_id)),
            generation: u32::from_be_bytes(*generation),
            secret: *secret,
        };
        let key = self.keys().find(|key| key.verifies(&token, tag))?;
        Some(VerifiedRefreshToken { token, hash: refresh_hash(text), key_id: key.id.clone() })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.signer).chain(&self.older)
    }
}

/// The SHA-256 hash of a refresh token's text, which is stored in the database.
pub fn refresh_hash(text: &str) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}

/// The kind of login name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginName {
    /// The username.
    Username,
    /// The e-mail address.
    Email,
}

/// A refresh token: the session, its generation, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    session_id: SessionId,
    generation: u32,
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    fn body(&self) -> Vec<u8> {
        [self.session_id.0.as_bytes().as_slice(), &self.generation.to_be_bytes(), &self.secret].concat()
    }
}

/// A refresh token that was made with one of the server's keys.
pub struct VerifiedRefreshToken {
    token: RefreshToken,
    hash: Vec<u8>,
    key_id: String,
}

impl VerifiedRefreshToken {
    /// The session of the token.
    pub fn session_id(&self) -> SessionId {
        self.token.session_id
    }

    /// The number of tokens of the session before this one.
    pub fn generation(&self) -> i64 {
        self.token.generation.into()
    }

    /// The SHA-256 hash of the token's text.
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self> {
        let digest = Sha256::new().chain_update("duologue kid").chain_update(secret).finalize();
        let root = Hmac::<Sha256>::new_from_slice(secret).map_err(Error::internal)?;
        // A derived key, so that the secret itself only signs JWTs.
        let derived = root.chain_update("duologue refresh tokens").finalize().into_bytes();
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(&digest[..6]),
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            refresh: Hmac::new_from_slice(&derived).map_err(Error::internal)?,
        })
    }

    /// All parts except the purpose have a fixed length, or there is only one part, so that no two inputs have the same
    /// concatenation.
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; SECRET_BYTES] {
        let mac = parts.iter().fold(self.refresh.clone().chain_update(purpose), |mac, part| mac.chain_update(part));
        mac.finalize().into_bytes().into()
    }

    fn tag(&self, token: &RefreshToken) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&self.mac("tag", &[&token.body()])[..TAG_BYTES]);
        tag
    }

    fn verifies(&self, token: &RefreshToken, tag: &[u8]) -> bool {
        self.refresh.clone().chain_update("tag").chain_update(token.body()).verify_truncated_left(tag).is_ok()
    }
}

#[cfg(test)]
mod tests;
