//! Access of web pages from other origins: cross-origin requests (CORS,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>) and WebSocket connections, to which CORS does not apply (RFC
//! 6455, section 10.2).
//!
//! Credentials are bearer tokens that a page must send explicitly, never cookies. Therefore no response allows
//! credentials, and a page of an origin that is not allowed has no more access than that origin's server.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::config::protection::Origins;
use crate::http::edge::Shared;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// Any header. The wildcard does not cover `authorization`.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("authorization, *");
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static("ratelimit, ratelimit-policy, retry-after, x-request-id");
/// Two hours, the maximum in Chromium.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The longest origin that the log shows, in bytes.
const MAX_LOGGED: usize = 200;

/// Answers preflight requests of allowed origins and lets their pages read the other responses. Responses to other
/// origins have no CORS headers, so browsers do not let the pages read them; the log names the setting that would.
pub(super) async fn allow<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = &shared.edge.origins;
    let headers = request.headers();
    if !headers.contains_key(header::UPGRADE) && !is_allowed(allowed, headers) {
        log_refusal(headers, "the browser withholds this answer from a page of another origin");
    }
    if allowed.is_empty() {
        return next.run(request).await;
    }
    let origin = headers.get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| origin.to_str().is_ok_and(|origin| allowed.contains(origin)));
    let is_preflight =
        request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if origin.is_some() && is_preflight {
        let allows = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        (StatusCode::NO_CONTENT, allows).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
    response
}

/// Whether a client may open a WebSocket. Logs a refusal.
pub(super) fn may_connect(allowed: &Origins, headers: &HeaderMap) -> bool {
    let may = is_allowed(allowed, headers);
    if !may {
        log_refusal(headers, "a page of another origin may not open a WebSocket");
    }
    may
}

/// Logs a refused origin, and the setting that would allow it.
fn log_refusal(headers: &HeaderMap, reason: &str) {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    let origin = String::from_utf8_lossy(&origin[..origin.len().min(MAX_LOGGED)]);
    tracing::warn!(http.request.header.origin = %origin.escape_debug(), "{reason}; to allow it, list the origin in CORS_ORIGINS");
}

/// Whether a client has no `Origin` (it is not a browser), or the origin is this host or allowed.
fn is_allowed(allowed: &Origins, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (origin, None) = (origins.next(), origins.next()) else { return false };
    let Some(origin) = origin else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    allowed.contains(origin) || host.is_some_and(|host| is_same_host(origin, host))
}

/// Whether an origin has the host that the request was sent to. The scheme is ignored, because the server does not know
/// its own scheme behind a proxy that terminates TLS.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let without_port = |text: &str| text.strip_suffix(own_port).unwrap_or(text).to_ascii_lowercase();
    !authority.is_empty() && without_port(authority) == without_port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_host_and_allowed_origins_may_connect() {
        let allowed: Origins = "https://chat.example.com, http://localhost:3000".parse().unwrap();
        for (origin, host, may) in [
            (None, "a.example", true),
            (Some("http://a.example:8000"), "a.example:8000", true),
            (Some("https://a.example"), "a.example", true),
            (Some("https://a.example"), "A.example:443", true),
            (Some("http://a.example"), "a.example:80", true),
            (Some("http://[::1]:8000"), "[::1]:8000", true),
            (Some("https://chat.example.com"), "a.example", true),
            (Some("http://localhost:3000"), "a.example", true),
            (Some("http://chat.example.com"), "a.example", false),
            (Some("https://chat.example.com:8443"), "a.example", false),
            (Some("https://chat.example.com.evil.example"), "a.example", false),
            (Some("http://a.example:8001"), "a.example:8000", false),
            (Some("http://a.example"), "a.example:443", false),
            (Some("http://evil.example"), "a.example", false),
            (Some("http://a.example.evil.example"), "a.example", false),
            (Some("null"), "a.example", false),
            (Some("file://"), "a.example", false),
            (Some("http://"), "", false),
            (Some(""), "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_allowed(&allowed, &headers), may, "{origin:?} at {host}");
        }
    }

    #[test]
    fn two_origin_headers_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "a.example".parse().unwrap());
        headers.append(header::ORIGIN, "http://a.example".parse().unwrap());
        headers.append(header::ORIGIN, "http://evil.example".parse().unwrap());
        assert!(!is_allowed(&Origins::default(), &headers));
    }
}
