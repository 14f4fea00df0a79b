//! Adds the security headers of the OWASP HTTP Headers Cheat Sheet to responses.

use axum::http::{HeaderMap, HeaderValue, header};

/// One year, in seconds.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// For data: the browser loads, runs and frames nothing.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Sets the headers that the response has not set itself; a page has its own policy.
pub(super) fn write(headers: &mut HeaderMap, is_tls: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, NOTHING),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ] {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_its_own_policy_and_hsts_needs_tls() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("script-src 'self'"));
        write(&mut headers, false);
        assert_eq!(headers["content-security-policy"], "script-src 'self'");
        assert_eq!(
            (&headers["x-content-type-options"], &headers["x-frame-options"]),
            (&"nosniff".parse().unwrap(), &"DENY".parse().unwrap())
        );
        assert!(!headers.contains_key("strict-transport-security"));
        write(&mut headers, true);
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    }
}
