//! Two servers on one PostgreSQL database, and no Redis.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::text;
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::server::Setup;
use crate::support::socket::{Reading, read_all};

fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestDatabase) -> F) {
    run(Engine::Postgres, test);
}

#[test]
fn a_reply_is_read_and_stopped_through_another_server() {
    on_postgres(|database| async move {
        let (here, there) = (Setup::new(&database), Setup::new(&database));
        let (one, two) = (here.start().await, there.start().await);
        let ada = one.sign_up("ada").await;
        let away = ada.at(two.address);

        // Read through the other server, while the first one writes it.
        let sent = ada.ask("demo/tools", "one two three").await;
        let mut socket = away.socket().await;
        let (reading, local) = tokio::join!(read_all(&away, &sent.reply), read_all(&ada, &sent.reply));
        assert!(reading.events.iter().filter(|event| event["text"].is_string()).count() > 1, "it streamed");
        assert_eq!((&reading.text, &reading.message), (&local.text, &local.message));
        assert_eq!(reading.message.unwrap()["status"], "COMPLETE");

        // Stopped through the other server, while the first one writes it.
        let sent = ada.ask("demo/slow", "Hi").await;
        socket.read("1", &sent.reply, None).await;
        let mut reading = Reading::default();
        while reading.text.len() < 10 {
            reading.take(socket.event("1").await.unwrap());
        }
        let now = away.message(&sent.reply, "status content position").await;
        assert_eq!(now["status"], "STREAMING");
        assert!(text(&now["content"]).len() >= 10, "saved text is visible through the other server");
        let start = Instant::now();
        let stopped = away.mutate("stopReply", "message { status content }", json!({ "messageId": sent.reply })).await;
        let stopped = stopped.data()["stopReply"]["message"].take();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(stopped["status"], "STOPPED");
        while let Some(event) = socket.event("1").await {
            reading.take(event);
        }
        assert_eq!(
            (json!(reading.text), &reading.message.unwrap()["status"]),
            (stopped["content"].clone(), &json!("STOPPED"))
        );
        assert_eq!(read_all(&ada, &sent.reply).await.text, reading.text);

        // Through the other server, a chat with a running reply is busy, and can be deleted.
        let sent = ada.ask("demo/stalls", "Hi").await;
        let input = json!({ "chatId": sent.chat, "content": "And?" });
        assert_eq!(away.try_send(input).await.unwrap().code(), "CONFLICT");
        let mut socket = ada.socket().await;
        socket.read("1", &sent.reply, None).await;
        socket.event("1").await.unwrap();
        away.mutate("deleteChat", "chatId", json!({ "chatId": sent.chat })).await.data();
        let start = Instant::now();
        loop {
            let message = socket.next().await;
            let payload = &message["payload"];
            // The reply is stopped, or the deletion of its rows was faster and it does not exist any more.
            let is_gone = payload["errors"][0]["extensions"]["code"] == "NOT_FOUND";
            if is_gone || payload["data"]["reply"]["__typename"] == "ReplyFinished" {
                break;
            }
            assert_eq!(message["type"], "next", "{message}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "a deleted chat's reply ends: {:?}", start.elapsed());
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn a_start_does_not_end_the_replies_of_running_servers() {
    on_postgres(|database| async move {
        let (here, there) = (Setup::new(&database), Setup::new(&database));
        let one = here.start().await;
        let ada = one.sign_up("ada").await;
        let sent = ada.ask("demo/stalls", "Hi").await;
        ada.has_written(&sent.reply, 10).await;
        let two = there.start().await;
        assert_eq!(ada.at(two.address).message(&sent.reply, "status").await["status"], "STREAMING");
        two.stop().await;
        assert_eq!(ada.message(&sent.reply, "status").await["status"], "STREAMING");
        one.kill().await;

        // The first server was killed and does not start again: its replies end when its lease expires.
        let two = there.start().await;
        let reading = read_all(&ada.at(two.address), &sent.reply).await;
        assert_eq!(reading.message.unwrap()["status"], "INTERRUPTED");
        assert!(reading.text.starts_with("You wrote"), "{}", reading.text);
        two.stop().await;
    });
}

#[test]
fn a_session_ends_on_both_servers() {
    on_postgres(|database| async move {
        let (here, there) = (Setup::new(&database), Setup::new(&database));
        let (one, two) = (here.start().await, there.start().await);
        let ada = one.sign_up("ada").await;
        let away = ada.at(two.address);
        away.data("{ me { id } }", json!({})).await;
        ada.data("mutation { logout { sessionId } }", json!({})).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(away.run("{ me { id } }", json!({})).await.code(), "UNAUTHENTICATED");
        one.stop().await;
        two.stop().await;
    });
}
