//! Both WebSocket subprotocols, message by message.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Server, Socket};

const TICKS: &str = "subscription { ticks(milliseconds: 60000) }";

async fn new_socket(server: &Server) -> Socket {
    server.socket("graphql-transport-ws").await
}

#[tokio::test]
async fn runs_every_kind_of_operation() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    for (id, document, data) in [
        ("q", "{ hello }", json!({ "hello": "world" })),
        ("m", "mutation { count(milliseconds: 0) }", json!({ "count": 1 })),
    ] {
        socket.subscribe(id, document).await;
        assert_eq!(socket.next().await, json!({ "type": "next", "id": id, "payload": { "data": data } }));
        assert_eq!(socket.next().await, json!({ "type": "complete", "id": id }));
    }
    // An id can be reused after its operation has ended.
    for _ in 0..2 {
        socket.subscribe("s", "subscription { upTo(n: 2) }").await;
        for n in 0..2 {
            let data = json!({ "upTo": n });
            assert_eq!(socket.next().await, json!({ "type": "next", "id": "s", "payload": { "data": data } }));
        }
        assert_eq!(socket.next().await, json!({ "type": "complete", "id": "s" }));
    }
}

#[tokio::test]
async fn a_refused_operation_ends_with_one_error_message() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    for (document, code) in [
        ("{", "INVALID_DOCUMENT"),
        ("{ unknown }", "INVALID_DOCUMENT"),
        ("subscription { unknown }", "INVALID_DOCUMENT"),
        ("subscription { refused }", "NOT_FOUND"),
        ("subscription { me }", "UNAUTHENTICATED"),
    ] {
        socket.subscribe("1", document).await;
        let message = socket.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{document}");
        assert_eq!(message["payload"][0]["extensions"]["code"], code, "{document}");
        assert!(message["payload"][0]["extensions"]["requestId"].is_string());
    }
    assert!(socket.within(Duration::from_millis(100)).await.is_none(), "a message follows the error");
}

#[tokio::test]
async fn operations_sent_before_the_acknowledgement_run_after_it() {
    let server = Server::start().await;
    for _ in 0..40 {
        let mut socket = new_socket(&server).await;
        let init = json!({ "type": "connection_init", "payload": { "Authorization": "Bearer good" } });
        let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": "{ me }" } });
        socket.burst([init, subscribe]).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        let answer = socket.next().await;
        assert!(answer["payload"]["data"]["me"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn an_error_during_a_subscription_is_an_event() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "subscription { failsLater }").await;
    assert_eq!(socket.next().await["payload"]["data"]["failsLater"], 1);
    let failed = socket.next().await;
    assert_eq!((&failed["type"], &failed["payload"]["data"]), (&json!("next"), &json!(null)));
    assert_eq!(failed["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(socket.next().await["payload"]["data"]["failsLater"], 2);
    assert_eq!(socket.next().await["type"], "complete");
}

#[tokio::test]
async fn pings_are_answered_and_unknown_ids_ignored() {
    let server = Server::start().await;
    let mut socket = new_socket(&server).await;
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    socket.send(json!({ "type": "pong" })).await;
    socket.send(json!({ "type": "complete", "id": "unknown" })).await;
    socket.init(json!(null)).await;
    socket.send(json!({ "type": "complete", "id": "unknown" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn malformed_messages_are_4400() {
    let server = Server::start().await;
    for message in [
        Message::text("{"),
        Message::text("hello"),
        Message::text(r#"{"type":"unknown"}"#),
        Message::text(r#"{"type":"subscribe","id":"1"}"#),
        Message::text(r#"{"type":"subscribe","payload":{"query":"{ hello }"}}"#),
        Message::text(r#"{"type":"connection_init","payload":{"authorization":1}}"#),
        Message::binary(br#"{"type":"ping"}"#.to_vec()),
    ] {
        let mut socket = new_socket(&server).await;
        socket.send_raw(message.clone()).await;
        assert_eq!(socket.closed().await.0, 4400, "{message:?}");
    }
}

#[tokio::test]
async fn subscribing_before_the_acknowledgement_is_4401() {
    let server = Server::start().await;
    let mut socket = new_socket(&server).await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.closed().await, (4401, "Unauthorized".to_owned()));
}

#[tokio::test]
async fn bad_credentials_are_4403() {
    let server = Server::start().await;
    let mut socket = new_socket(&server).await;
    socket.send(json!({ "type": "connection_init", "payload": { "Authorization": "Bearer bad" } })).await;
    assert_eq!(socket.closed().await.0, 4403);
    let mut socket = server.socket_with("graphql-transport-ws", Some("Bearer bad")).await;
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.closed().await.0, 4403);
}

#[tokio::test]
async fn credentials_are_read_from_the_payload_or_the_handshake() {
    let server = Server::start().await;
    for (header, payload) in [
        (None, json!({ "Authorization": "Bearer good" })),
        (Some("Bearer bad"), json!({ "authorization": "Bearer good" })),
        (Some("Bearer good"), json!({})),
    ] {
        let mut socket = server.socket_with("graphql-transport-ws", header).await;
        socket.init(payload).await;
        socket.subscribe("1", "subscription { me }").await;
        assert_eq!(socket.next().await["payload"]["data"]["me"], "user_01h455vb4pex5vsknk084sn02q");
    }
}

#[tokio::test]
async fn a_token_that_expires_is_4403() {
    let server = Server::start().await;
    let mut socket = new_socket(&server).await;
    socket.init(json!({ "authorization": "Bearer short" })).await;
    socket.subscribe("1", TICKS).await;
    assert_eq!(socket.closed().await, (4403, "Forbidden: the access token has expired".to_owned()));
}

#[tokio::test]
async fn the_end_of_a_session_closes_its_sockets_with_4403() {
    let server = Server::start().await;
    let mut anonymous = server.ready_socket().await;
    let mut sockets = Vec::new();
    for document in [TICKS, "subscription { busy(size: 100) }"] {
        let mut socket = new_socket(&server).await;
        socket.init(json!({ "authorization": "Bearer good" })).await;
        socket.subscribe("1", document).await;
        sockets.push(socket);
    }
    server.session_ended.cancel();
    for socket in &mut sockets {
        let closed = tokio::time::timeout(Duration::from_secs(2), socket.closed())
            .await
            .expect("the socket is not closed immediately");
        assert_eq!(closed, (4403, "Forbidden: the session has ended".to_owned()));
    }
    anonymous.send(json!({ "type": "ping" })).await;
    assert_eq!(anonymous.next().await["type"], "pong");
}

#[tokio::test]
async fn credentials_that_become_invalid_close_the_socket_with_4403() {
    let server = Server::start().await;
    let mut socket = new_socket(&server).await;
    socket.init(json!({ "authorization": "Bearer once" })).await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.closed().await, (4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn no_common_subprotocol_is_4406() {
    let server = Server::start().await;
    for protocol in ["", "unknown", "mqtt, soap"] {
        let mut socket = server.socket(protocol).await;
        assert_eq!(socket.closed().await, (4406, "Subprotocol not acceptable".to_owned()), "{protocol}");
    }
    let mut both = server.socket("graphql-ws, graphql-transport-ws").await;
    both.init(json!({})).await;
    both.subscribe("1", "{ hello }").await;
    assert_eq!(both.next().await["type"], "next", "the newer protocol is preferred");
}

#[tokio::test]
async fn a_duplicate_id_is_4409() {
    let server = Server::start().await;
    for id in ["1".to_owned(), "🏃".repeat(64)] {
        let mut socket = server.ready_socket().await;
        socket.subscribe(&id, TICKS).await;
        socket.subscribe("other", TICKS).await;
        socket.subscribe(&id, "{ hello }").await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 4409);
        assert!(reason.starts_with("Subscriber for ") && reason.ends_with(" already exists"), "{reason}");
    }
}

#[tokio::test]
async fn an_id_is_free_as_soon_as_the_client_completes_it() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    for _ in 0..100 {
        socket.subscribe("1", TICKS).await;
        socket.send(json!({ "type": "complete", "id": "1" })).await;
    }
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "1" }));
    assert!(socket.within(Duration::from_millis(100)).await.is_none(), "a stopped operation sends a message");
}

#[tokio::test]
async fn a_second_init_is_4429() {
    let server = Server::start().await;
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        let mut socket = server.socket(protocol).await;
        socket.send(json!({ "type": "connection_init" })).await;
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.closed().await, (4429, "Too many initialisation requests".to_owned()));
    }
}

#[tokio::test]
async fn the_legacy_protocol_runs_queries_and_subscriptions() {
    let server = Server::start().await;
    let mut socket = server.socket("graphql-ws").await;
    // Clients of this protocol do not wait for the acknowledgement.
    socket.send(json!({ "type": "connection_init", "payload": { "Authorization": "Bearer good" } })).await;
    socket.send(json!({ "type": "start", "id": "1", "payload": { "query": "subscription { me }" } })).await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    assert_eq!(socket.next().await, json!({ "type": "ka" }));
    let data = json!({ "me": "user_01h455vb4pex5vsknk084sn02q" });
    assert_eq!(socket.next().await, json!({ "type": "data", "id": "1", "payload": { "data": data } }));
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "1" }));
    socket.send(json!({ "type": "start", "id": "2", "payload": { "query": "{ unknown }" } })).await;
    let error = socket.next().await;
    assert_eq!(
        (&error["type"], &error["payload"]["extensions"]["code"]),
        (&json!("error"), &json!("INVALID_DOCUMENT"))
    );
    socket.send(json!({ "type": "start", "id": "3", "payload": { "query": TICKS } })).await;
    socket.send(json!({ "type": "stop", "id": "3" })).await;
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "3" }));
    socket.send(json!({ "type": "connection_terminate" })).await;
    assert_eq!(socket.closed().await.0, 1000);
}

#[tokio::test]
async fn the_legacy_protocol_reports_why_it_refuses() {
    let server = Server::start().await;
    let mut socket = server.socket("graphql-ws").await;
    socket.send(json!({ "type": "connection_init", "payload": { "Authorization": "Bearer bad" } })).await;
    assert_eq!(socket.next().await, json!({ "type": "connection_error", "payload": { "message": "Forbidden" } }));
    assert_eq!(socket.closed().await.0, 4403);
}

#[tokio::test]
async fn a_client_may_close_at_any_time() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "subscription { busy(size: 100) }").await;
    socket.send_raw(Message::Close(None)).await;
    assert!(socket.ends().await, "the server does not answer the close frame");
    server.tracker.close();
    tokio::time::timeout(Duration::from_secs(5), server.tracker.wait())
        .await
        .expect("the task of the socket does not end");
}

#[tokio::test]
async fn malformed_handshakes_are_rejected() {
    let server = Server::start().await;
    let answer = server.get("/graphql", "upgrade: websocket\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"));
}
