//! Replies that end early: stopped by their owner, or by the stop of the server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::socket::read_all;

const FIELDS: &str = "message { id status content error { code } finishReason completedAt
    usage { inputTokens outputTokens isEstimate } }";

async fn stop(client: &Client, reply: &str) -> Answer {
    client.mutate("stopReply", FIELDS, json!({ "messageId": reply })).await
}

async fn stopped(client: &Client, reply: &str) -> Value {
    stop(client, reply).await.data()["stopReply"]["message"].take()
}

on_both_databases!(a_stopped_reply_keeps_its_text_and_its_usage, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    for model in ["demo/slow", "demo/stalls"] {
        let sent = ada.ask(model, "Tell me a lot.").await;
        let mut socket = ada.socket().await;
        socket.read("1", &sent.reply, None).await;
        let mut seen = String::new();
        while seen.len() < 15 {
            seen.push_str(&text(&socket.event("1").await.unwrap()["text"]));
        }
        let start = Instant::now();
        let message = stopped(&ada, &sent.reply).await;
        assert!(start.elapsed() < Duration::from_secs(5), "at once: {:?}", start.elapsed());
        assert_eq!((text(&message["status"]), &message["error"]), ("STOPPED".to_owned(), &Value::Null));
        assert!(text(&message["content"]).starts_with(&seen) && message["completedAt"].is_string(), "{message}");
        assert_eq!(message["usage"]["isEstimate"], true);
        assert!(message["usage"]["outputTokens"].as_i64().unwrap() >= 4, "{message}");
        assert!(message["usage"]["inputTokens"].as_i64().unwrap() > 0, "{message}");

        // Readers receive the end. A second stop changes nothing.
        let end = loop {
            let event = socket.event("1").await.unwrap();
            if event["__typename"] == "ReplyFinished" {
                break event;
            }
        };
        assert_eq!((&end["message"]["status"], &end["message"]["content"]), (&json!("STOPPED"), &message["content"]));
        assert_eq!(stopped(&ada, &sent.reply).await, message);
        assert_eq!(read_all(&ada, &sent.reply).await.text, text(&message["content"]));

        // The chat accepts messages again.
        let next = ada.send(json!({ "chatId": sent.chat, "content": "And?", "modelId": "demo/fast" })).await;
        assert_eq!(ada.ended(&next.reply).await, "COMPLETE");
    }
    server.stop().await;
});

on_both_databases!(stop_reply_affects_only_running_replies_of_the_viewer, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let sent = ada.ask("demo/slow", "Hi").await;
    assert_eq!(stop(&eve, &sent.reply).await.code(), "NOT_FOUND", "a reply of another user");
    assert_eq!(stop(&ada, &sent.message).await.code(), "NOT_FOUND", "a message of a user");
    assert_eq!(stop(&ada, &sent.chat).await.complaint(), "INVALID_INPUT messageId:MALFORMED");
    assert_eq!(stop(&server.client(), &sent.reply).await.code(), "UNAUTHENTICATED");
    assert_eq!(ada.message(&sent.reply, "status").await["status"], "STREAMING", "the reply still runs");
    stopped(&ada, &sent.reply).await;

    let done = ada.ask("demo/fast", "Hi").await;
    let end = read_all(&ada, &done.reply).await.message.unwrap();
    let message = stopped(&ada, &done.reply).await;
    assert_eq!(
        (&message["status"], &message["content"]),
        (&json!("COMPLETE"), &end["content"]),
        "a finished reply is not changed"
    );
    server.stop().await;
});

on_both_databases!(a_stop_that_races_with_the_end_has_one_result, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let mut ends = std::collections::BTreeSet::new();
    for wait in 0..16 {
        let sent = ada.ask("demo/fast", "Hi").await;
        tokio::time::sleep(Duration::from_millis(wait * 12)).await;
        let message = stopped(&ada, &sent.reply).await;
        let stored = ada.message(&sent.reply, "status content").await;
        assert_eq!((&stored["status"], &stored["content"]), (&message["status"], &message["content"]));
        let end = read_all(&ada, &sent.reply).await.message.unwrap();
        assert_eq!((&end["status"], &end["content"]), (&message["status"], &message["content"]));
        ends.insert(text(&message["status"]));
    }
    assert!(ends.iter().all(|end| end == "STOPPED" || end == "COMPLETE"), "{ends:?}");
    server.stop().await;
});

on_both_databases!(stopping_the_server_saves_the_text_of_running_replies, |database| async move {
    let setup = Setup::new(&database).with("SHUTDOWN_GRACE_SECONDS", "1");
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let (long, quick) = (ada.ask("demo/slow", "Hi").await, ada.ask("demo/unicode", "Hi").await);
    let mut socket = ada.socket().await;
    socket.read("1", &long.reply, None).await;
    let mut seen = String::new();
    while seen.len() < 15 {
        seen.push_str(&text(&socket.event("1").await.unwrap()["text"]));
    }
    // This reply is nearly complete, so it ends within the grace period of one second.
    ada.has_written(&quick.reply, 150).await;
    server.terminate();
    assert_eq!(socket.closed().await, 1012);
    let status = server.ended().await;
    assert!(status.success(), "{status}");

    let server = setup.start().await;
    let ada = ada.at(server.address);
    let reply = ada.message(&long.reply, "status content error { code isRetryable } usage { isEstimate }").await;
    assert_eq!(
        (text(&reply["status"]), text(&reply["error"]["code"])),
        ("INTERRUPTED".to_owned(), "INTERRUPTED".to_owned())
    );
    assert!(text(&reply["content"]).starts_with(&seen), "{seen:?} is kept in {reply}");
    assert_eq!(reply["usage"]["isEstimate"], true);
    assert_eq!(ada.message(&quick.reply, "status").await["status"], "COMPLETE");
    assert_eq!(read_all(&ada, &long.reply).await.text, text(&reply["content"]), "it can be read after the restart");
    server.stop().await;
});

on_both_databases!(replies_that_end_within_the_grace_period_are_complete, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo", "Hi").await;
    let mut socket = ada.socket().await;
    socket.read("1", &sent.reply, None).await;
    socket.event("1").await.unwrap();
    let start = Instant::now();
    server.terminate();
    assert_eq!(socket.closed().await, 1012);
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    assert!(start.elapsed() < Duration::from_secs(15), "the stop does not wait for the whole grace period");

    let server = setup.start().await;
    let reply = ada.at(server.address).message(&sent.reply, "status content").await;
    assert_eq!(reply["status"], "COMPLETE");
    assert!(text(&reply["content"]).ends_with("With a key, a real model answers here."));
    server.stop().await;
});

on_both_databases!(during_a_stop_the_listener_refuses_with_a_response, |database| async move {
    let server = Setup::new(&database).with("SHUTDOWN_GRACE_SECONDS", "8").start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/slow", "Hi").await;
    ada.has_written(&sent.reply, 1).await;
    let address = server.address;
    server.terminate();
    let start = Instant::now();
    while ada.status("/health/ready").await != 503 {
        assert!(start.elapsed() < Duration::from_secs(5), "the signal takes effect");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((ada.status("/health/live").await, ada.status("/metrics").await), (200, 200));
    let response = ada.http.post(format!("http://{address}/graphql")).header("content-type", "application/json");
    let response = response.body(r#"{"query":"{ me { id } }"}"#).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert_eq!(response.headers()["connection"], "close");
    let error: Value = response.json().await.unwrap();
    let extensions = &error["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["retryAfterSeconds"]), (&json!("UNAVAILABLE"), &json!(5)));
    assert!(ada.opened_socket().await.is_none(), "no socket is opened");
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "then the listener is closed");
});
