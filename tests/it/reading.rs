//! Reading a reply from any position, while it is written and afterwards, with one and with many readers.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::client::{Client, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::socket::{Reading, read_all};

const CUTS: u32 = 100;
const READERS: usize = 50;

/// Reads a few events from the position of `reading` on, keeps only a part of the last one, and closes the connection.
async fn read_and_cut(client: &Client, reply: &str, reading: &mut Reading) {
    let mut socket = client.socket().await;
    socket.read("1", reply, Some(reading.position)).await;
    for _ in 0..getrandom::u32().unwrap() % 4 {
        match socket.event("1").await {
            Some(event) => reading.take(event),
            None => return,
        }
    }
    // A client may resume from any position within an event.
    if let Some(mut event) = socket.event("1").await {
        if event["__typename"] == "ReplyText" {
            let whole = text(&event["text"]);
            let kept = &whole[..whole.floor_char_boundary(getrandom::u32().unwrap() as usize % (whole.len() + 1))];
            event["position"] = json!(reading.position + i64::try_from(kept.len()).unwrap());
            event["text"] = json!(kept);
        }
        reading.take(event);
    }
}

async fn read_in_pieces(client: &Client, reply: &str, cuts: u32) -> Reading {
    let mut reading = Reading::default();
    for _ in 0..cuts {
        read_and_cut(client, reply, &mut reading).await;
        if reading.message.is_some() {
            return reading;
        }
    }
    let mut socket = client.socket().await;
    socket.read("1", reply, Some(reading.position)).await;
    while let Some(event) = socket.event("1").await {
        reading.take(event);
    }
    reading
}

on_both_databases!(a_reader_that_is_cut_a_hundred_times_gets_the_whole_reply, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let long = ada.ask("demo/long", "Tell me all.").await;
    let unicode = ada.ask("demo/unicode", "In every script.").await;

    // While the reply is written: one reader is cut repeatedly, fifty read without interruption, and one starts late.
    let late = async {
        ada.has_written(&long.reply, 1000).await;
        let mut socket = ada.socket().await;
        socket.read("1", &long.reply, None).await;
        let first = socket.event("1").await.unwrap();
        assert!(text(&first["text"]).len() >= 1000, "what piled up comes as one event: {first}");
    };
    let (cut, all, pieces, ()) = tokio::join!(
        read_in_pieces(&ada, &long.reply, CUTS),
        join_all((0..READERS).map(|_| read_all(&ada, &long.reply))),
        read_in_pieces(&ada, &unicode.reply, CUTS),
        late,
    );
    for (reply, reading) in [(&long.reply, &cut), (&unicode.reply, &pieces)] {
        let stored = ada.message(reply, "content status").await;
        assert_eq!((&stored["content"], &stored["status"]), (&json!(reading.text), &json!("COMPLETE")));
        assert!(reading.message.is_some());
    }
    assert!(cut.text.len() > 2000, "it was a long one");
    for reading in all {
        assert_eq!((reading.text.len(), &reading.message), (cut.text.len(), &cut.message));
        assert_eq!(reading.text, cut.text);
    }

    // After the reply has ended: reads from a hundred random positions.
    let mut socket = ada.socket().await;
    for number in 0..CUTS {
        let cut_at = cut.text.floor_char_boundary(getrandom::u32().unwrap() as usize % cut.text.len());
        let id = number.to_string();
        socket.read(&id, &long.reply, Some(i64::try_from(cut_at).unwrap())).await;
        let event = socket.event(&id).await.unwrap();
        assert_eq!(event["text"], cut.text[cut_at..], "one event with the rest of the text");
        assert_eq!(socket.event(&id).await.unwrap()["__typename"], "ReplyFinished");
        assert_eq!(socket.event(&id).await, None);
    }

    // Every position of a text in several scripts: the rest of the text, or an error inside a character.
    for position in 0..=pieces.text.len() + 1 {
        let id = format!("u{position}");
        socket.read(&id, &unicode.reply, Some(i64::try_from(position).unwrap())).await;
        match pieces.text.get(position..) {
            Some("") => {}
            Some(rest) => assert_eq!(socket.event(&id).await.unwrap()["text"], rest),
            None if position > pieces.text.len() => {}
            None => {
                assert_eq!(socket.failure(&id).await.complaint(), "INVALID_INPUT after:MALFORMED");
                continue;
            }
        }
        assert_eq!(socket.event(&id).await.unwrap()["message"]["content"], pieces.text);
    }
    server.stop().await;
});

on_both_databases!(negative_far_and_current_positions_are_handled, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo", "Hi").await;
    let mut socket = ada.socket().await;
    socket.read("negative", &sent.reply, Some(-1)).await;
    assert_eq!(socket.failure("negative").await.complaint(), "INVALID_INPUT after:OUT_OF_RANGE");
    socket.read("no reply", &sent.message, None).await;
    assert_eq!(socket.failure("no reply").await.code(), "NOT_FOUND");
    socket.read("no message", &sent.chat, None).await;
    assert_eq!(socket.failure("no message").await.complaint(), "INVALID_INPUT messageId:MALFORMED");

    // From a position beyond the end of a running reply, only its end is sent.
    for (id, after) in [("far", 1_000_000), ("farthest", i64::from(i32::MAX))] {
        socket.read(id, &sent.reply, Some(after)).await;
    }
    let (mut far, mut farthest) = (None, None);
    while far.is_none() || farthest.is_none() {
        let message = socket.next().await;
        if message["type"] == "next" {
            let event = message["payload"]["data"]["reply"].clone();
            let seen = if message["id"] == "far" { &mut far } else { &mut farthest };
            assert!(seen.replace(event).is_none(), "only one event: {message}");
        }
    }
    let far = far.unwrap();
    assert_eq!((&far["__typename"], &far["message"]["status"]), (&json!("ReplyFinished"), &json!("COMPLETE")));
    assert_eq!((&far["position"], farthest.unwrap()), (&far["message"]["position"], far.clone()));

    // From the position of a running message on, its content continues without a gap.
    let running = ada.ask("demo", "Hi").await;
    ada.has_written(&running.reply, 50).await;
    let now = ada.message(&running.reply, "content position status").await;
    socket.read("on", &running.reply, now["position"].as_i64()).await;
    let mut whole = text(&now["content"]);
    while let Some(event) = socket.event("on").await {
        whole.push_str(event["text"].as_str().unwrap_or(""));
    }
    assert_eq!(ada.message(&running.reply, "content").await["content"], whole);
    server.stop().await;
});

on_both_databases!(a_slow_or_disconnected_reader_does_not_delay_others, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/fast", "A lot.").await;
    let mut slow = ada.socket().await;
    slow.read("1", &sent.reply, None).await;
    drop({
        let mut gone = ada.socket().await;
        gone.read("1", &sent.reply, None).await;
        gone
    });
    let mut complete = ada.socket().await;
    complete.read("1", &sent.reply, None).await;
    complete.complete("1").await;

    let slowly = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut reading = Reading::default();
        while let Some(event) = slow.event("1").await {
            reading.take(event);
        }
        reading
    };
    let (quick, reading) = tokio::join!(read_all(&ada, &sent.reply), slowly);
    assert!(quick.text.len() > 64 * 1024, "{}", quick.text.len());
    let longest = quick.events.iter().filter_map(|event| event["text"].as_str()).map(str::len).max();
    assert!(longest.unwrap() <= 64 * 1024, "an event has at most 64 KiB");
    assert!(reading.text == quick.text && reading.message == quick.message);
    server.stop().await;
});
