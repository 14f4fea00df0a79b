//! The playground: GraphiQL for browsers that open `/graphql`. Its pages are the npm package in `web/`. They are
//! embedded in the binary if they exist at build time; a debug build reads them for each request.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use rust_embed::RustEmbed;

use crate::http::media;

/// The output of `npm run build`.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Pages;

/// The content codings of the assets, and the suffixes of their files; the smaller one first.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The names of assets contain a hash of their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Whether this build has the pages.
pub fn has_pages() -> bool {
    read("index.html").is_some()
}

/// Whether a browser requests the page, rather than an operation.
pub(super) fn is_wanted(parts: &Parts) -> bool {
    let parameters = parts.uri.query().unwrap_or_default();
    matches!(parts.method, Method::GET | Method::HEAD)
        && media::prefers_page(&parts.headers)
        && !form_urlencoded::parse(parameters.as_bytes()).any(|(name, _)| name == "query")
}

/// The response with the page.
pub(super) fn page(headers: &HeaderMap) -> Response {
    page_of(read("index.html"), headers)
}

/// The response with an asset of the page, by its name in `assets/`.
pub(super) fn asset(name: &str, headers: &HeaderMap) -> Option<Response> {
    asset_of(read, name, headers)
}

/// Redirects a browser from `/` to the page.
pub(super) fn redirect() -> Response {
    let vary = [(header::VARY, HeaderValue::from_static("accept"))];
    (vary, Redirect::temporary("/graphql")).into_response()
}

fn read(path: &str) -> Option<Cow<'static, [u8]>> {
    Pages::get(path).map(|file| file.data)
}

fn page_of(page: Option<Cow<'static, [u8]>>, headers: &HeaderMap) -> Response {
    let host = host(headers);
    let page = page.unwrap_or_else(|| Cow::Owned(stand_in(host).into_bytes()));
    let mut response = file("text/html; charset=utf-8", page);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, content_security_policy(host)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        // The same URL returns JSON to GraphQL clients.
        (header::VARY, HeaderValue::from_static("accept, host")),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}

fn asset_of(read: impl Fn(&str) -> Option<Cow<'static, [u8]>>, name: &str, headers: &HeaderMap) -> Option<Response> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.starts_with('.') || !name.bytes().all(is_plain) {
        return None;
    }
    let path = format!("assets/{name}");
    let mut accepted = CODINGS.into_iter().filter(|(coding, _)| media::accepts_coding(headers, coding));
    let coded = accepted.find_map(|(coding, end)| Some((coding, read(&format!("{path}{end}"))?)));
    let mut response = match coded {
        Some((coding, content)) => {
            let coding = [(header::CONTENT_ENCODING, HeaderValue::from_static(coding))];
            (coding, file(content_type(name), content)).into_response()
        }
        None => file(content_type(name), read(&path)?),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, FOREVER);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Some(response)
}

fn file(content_type: &'static str, content: Cow<'static, [u8]>) -> Response {
    let body = match content {
        Cow::Borrowed(content) => Body::from(content),
        Cow::Owned(content) => Body::from(content),
    };
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        _ => "application/octet-stream",
    }
}

/// Everything is loaded from this server (<https://www.w3.org/TR/CSP3/>). Inline styles are allowed because the editor
/// positions lines by `style` attributes, and images in data URLs because its style sheet uses them; neither can run a
/// script. The WebSocket URLs are for browsers in which `'self'` covers HTTP only.
fn content_security_policy(host: Option<&str>) -> HeaderValue {
    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'";
    let sockets = host.map(|host| format!("{POLICY} ws://{host} wss://{host}"));
    sockets.and_then(|policy| policy.try_into().ok()).unwrap_or(HeaderValue::from_static(POLICY))
}

/// The `Host` header, if it consists of a host and port only: it is written into a header and a page.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    (!host.is_empty() && host.bytes().all(is_plain)).then_some(host)
}

fn stand_in(host: Option<&str>) -> String {
    let host = host.unwrap_or("127.0.0.1:8000");
    format!(
        r#"<!doctype html>
<html lang="en">
<title>duologue</title>
<h1>duologue</h1>
<p>This is a GraphQL endpoint. This binary does not contain the playground, because it was built without the pages of
<code>web/</code>. To include it, run this in the source directory and build again:</p>
<pre>npm ci --prefix web &amp;&amp; npm run build --prefix web</pre>
<p>Without the playground, use curl:</p>
<pre>curl http://{host}/graphql -H 'content-type: application/json' -d '{{"query":"{{ server {{ version }} }}"}}'</pre>
</html>
"#
    )
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::{Request, StatusCode};

    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn request(method: &str, address: &str, accept: &str) -> Parts {
        let request = Request::builder().method(method).uri(address).header(header::ACCEPT, accept);
        request.body(()).unwrap().into_parts().0
    }

    fn headers(host: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, host.parse().unwrap())])
    }

    fn dist(path: &str) -> Option<Cow<'static, [u8]>> {
        matches!(path, "index.html" | "assets/main-a1_B.js" | "assets/../index.html")
            .then_some(Cow::Borrowed(b"content"))
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 1 << 16).await.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn browsers_get_the_page() {
        for (method, address, accept, wanted) in [
            ("GET", "/graphql", BROWSER, true),
            ("HEAD", "/graphql", BROWSER, true),
            ("GET", "/graphql?theme=dark&subquery=1", BROWSER, true),
            ("POST", "/graphql", BROWSER, false),
            ("PUT", "/graphql", BROWSER, false),
            ("GET", "/graphql?query=%7Bme%7Bid%7D%7D", BROWSER, false),
            ("GET", "/graphql?a=1&q%75ery=", BROWSER, false),
            ("GET", "/graphql", "*/*", false),
            ("GET", "/graphql", "application/json", false),
        ] {
            assert_eq!(is_wanted(&request(method, address, accept)), wanted, "{method} {address} {accept}");
        }
    }

    #[tokio::test]
    async fn the_page_loads_only_from_its_own_origin() {
        let response = page_of(dist("index.html"), &headers("[::1]:8000"));
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("vary"), "accept, host");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.ends_with("; connect-src 'self' ws://[::1]:8000 wss://[::1]:8000"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(text(response).await, "content");
    }

    #[tokio::test]
    async fn an_invalid_host_is_not_echoed() {
        for host in ["", "a b", "a;script-src *", "a'", "a<b>", "a/b", "a,b"] {
            let response = page_of(None, &headers(host));
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.ends_with("; connect-src 'self'"), "{policy}");
            assert!(text(response).await.contains("curl http://127.0.0.1:8000/graphql "), "{host}");
        }
    }

    #[tokio::test]
    async fn explains_missing_pages() {
        let response = page_of(None, &headers("duologue.example:8080"));
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let page = text(response).await;
        assert!(page.contains("npm ci --prefix web &amp;&amp; npm run build --prefix web"), "{page}");
        let curl = r#"curl http://duologue.example:8080/graphql -H 'content-type: application/json' -d '{"query":"{ server { version } }"}'"#;
        assert!(page.contains(curl), "{page}");
    }

    #[tokio::test]
    async fn assets_are_immutable() {
        let response = asset_of(dist, "main-a1_B.js", &HeaderMap::new()).unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(text(response).await, "content");
        for (name, wanted) in [("a.css", "text/css; charset=utf-8"), ("a.svg", "image/svg+xml"), ("a.ttf", "font/ttf")]
        {
            assert_eq!(content_type(name), wanted);
        }
        assert_eq!(content_type("a"), "application/octet-stream");
    }

    #[tokio::test]
    async fn an_asset_is_sent_as_it_was_compressed_at_build_time() {
        let files = |path: &str| match path {
            "assets/a.js" | "assets/b.js" => Some(Cow::Borrowed(&b"plain"[..])),
            "assets/a.js.br" => Some(Cow::Borrowed(&b"brotli"[..])),
            "assets/a.js.gz" | "assets/b.js.gz" => Some(Cow::Borrowed(&b"gzip"[..])),
            _ => None,
        };
        for (name, accepted, content) in [
            ("a.js", "gzip, deflate, br, zstd", "brotli"),
            ("a.js", "gzip, deflate", "gzip"),
            ("a.js", "BR;q=0.1, gzip", "brotli"),
            ("a.js", "br;q=0, gzip", "gzip"),
            ("a.js", "br;q=0, *", "gzip"),
            ("a.js", "*;q=0", "plain"),
            ("a.js", "zstd", "plain"),
            ("a.js", "", "plain"),
            ("b.js", "br, gzip", "gzip"),
            ("b.js", "br", "plain"),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            let response = asset_of(files, name, &headers).unwrap();
            let coding = response.headers().get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap());
            let wanted = match content {
                "plain" => None,
                "brotli" => Some("br"),
                other => Some(other),
            };
            assert_eq!(coding, wanted, "{name} {accepted}");
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
            assert_eq!(text(response).await, content, "{name} {accepted}");
        }
    }

    #[test]
    fn other_paths_are_not_assets() {
        for name in
            ["", ".", "..", "../index.html", "..\\index.html", "/etc/passwd", ".env", "main-a1_B", "a\0.js", "é.js"]
        {
            assert!(asset_of(dist, name, &HeaderMap::new()).is_none(), "{name:?}");
        }
    }
}
