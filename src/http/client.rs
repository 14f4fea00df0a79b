//! The client of a request, and its credentials.

use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use crate::domain::Client;
use crate::graphql::error::ErrorCode;
use crate::http::answer::Refusal;
use crate::http::client_ip;
use crate::http::edge::Edge;

/// The maximum stored length of a `User-Agent`, in bytes.
const MAX_USER_AGENT: usize = 512;

/// The address and `User-Agent` of the client.
pub(super) fn client<E>(edge: &Edge<E>, parts: &Parts) -> Client {
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Client {
        ip: client_ip::client_ip(&edge.trusted_proxies, client_ip::peer(&parts.extensions), &parts.headers),
        // Header values that `to_str` accepts are ASCII, so any byte index is a character boundary.
        user_agent: user_agent.map(|value| value[..value.len().min(MAX_USER_AGENT)].to_owned()),
        connection: None,
    }
}

/// The value of the `Authorization` header; an empty one counts as absent. An unreadable value is kept as one that
/// cannot be valid, because credentials were sent.
///
/// # Errors
/// The request has several such headers: a proxy may have checked a different one.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else {
        let message = "Send at most one Authorization header.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, message));
    };
    let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    Ok(value.filter(|value| !value.is_empty()))
}
