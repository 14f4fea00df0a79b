//! The playground at `/graphql`. The tests pass whether the pages were built or not.

use super::support::Server;

const BROWSER: &str =
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n";

#[tokio::test]
async fn a_browser_gets_a_page() {
    let server = Server::start().await;
    let answer = server.get("/graphql", BROWSER).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{answer:?}");
    assert!(answer.body.starts_with("<!doctype html>"), "{answer:?}");
    let head = format!("HEAD /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{BROWSER}\r\n");
    let head = server.raw(&head).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(head.body, "");
}

#[tokio::test]
async fn a_client_that_is_not_a_browser_gets_graphql() {
    let server = Server::start().await;
    let answer = server.get("/graphql?query=%7B+hello+%7D", BROWSER).await;
    assert_eq!((answer.status, answer.json()["data"]["hello"].as_str()), (200, Some("world")));
    for accept in ["", "accept: */*\r\n", "accept: application/graphql-response+json, text/html\r\n"] {
        let answer = server.get("/graphql", accept).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"), "{accept}");
    }
}

#[tokio::test]
async fn only_assets_are_served_below_the_page() {
    let server = Server::start().await;
    for name in ["nothing.js", "", "..%2findex.html", "..%2f..%2f..%2fCargo.toml", "%2fetc%2fpasswd", "%ff", "%00"] {
        let answer = server.get(&format!("/graphql/assets/{name}"), BROWSER).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{name}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn the_root_redirects_browsers_only() {
    let server = Server::start().await;
    let answer = server.get("/", BROWSER).await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("/graphql")));
    assert_eq!((answer.header("vary"), answer.header("cache-control")), (Some("accept"), Some("no-store")));
    for accept in ["", "accept: */*\r\n", "accept: application/json\r\n"] {
        let answer = server.get("/", accept).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{accept}");
    }
    let post = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n{BROWSER}\r\n");
    assert_eq!(server.raw(&post).await.status, 404);
    let off = Server::without_playground().await;
    assert_eq!(off.get("/", BROWSER).await.status, 404);
}

#[tokio::test]
async fn the_playground_can_be_disabled() {
    let server = Server::without_playground().await;
    for accept in [BROWSER, "accept: */*\r\n"] {
        let answer = server.get("/graphql", accept).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"), "{accept}");
    }
    let head = format!("HEAD /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{BROWSER}\r\n");
    assert_eq!(server.raw(&head).await.status, 405);
}
