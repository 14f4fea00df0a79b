//! Titles that the model writes.

use std::time::Duration;

use duologue::entity::enums::{CallKind, MessageStatus};
use duologue::entity::ids::ChatId;
use duologue::entity::ledger_entry;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::database::on_both_databases;
use crate::support::provider::{Answer, FakeProvider, Purpose, completion};
use crate::support::server::Setup;

const LONG: &str = "Please explain to me in detail why the sky is blue and not green";
const EXCERPT: &str = "Please explain to me in detail why the sky is blue and not…";

/// Answers replies with a short text, and titles as `title` does.
async fn provider(title: impl Fn() -> Answer + Send + Sync + 'static) -> FakeProvider {
    FakeProvider::scripted(8192, move |request| match Purpose::of(request) {
        Purpose::Title => title(),
        Purpose::Reply if request["messages"][0]["content"] == "Fail" => Answer::Status(400),
        _ => Answer::Events(completion("Because of the air.")),
    })
    .await
}

async fn title(user: &Client, chat: &str) -> Value {
    user.data("query($id: ID!) { chat(id: $id) { title } }", json!({ "id": chat })).await["chat"]["title"].take()
}

/// Waits until the title is this one.
async fn is_titled(user: &Client, chat: &str, wanted: &str) {
    let start = std::time::Instant::now();
    loop {
        let title = title(user, chat).await;
        if title == wanted {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "the title stays {title}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

on_both_databases!(the_model_writes_a_title_after_the_first_complete_reply, |database| async move {
    let provider = provider(|| Answer::Held(completion("\"Blue skies.\"\n"))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", LONG).await;
    // The reply is complete, and the excerpt is there, before the model has written the title.
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    assert_eq!(title(&ada, &sent.chat).await, EXCERPT);
    provider.has_got(Purpose::Title, 1).await;
    let request = &provider.requests(Purpose::Title)[0];
    let lines = text(&request["messages"][1]["content"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [json!({ "role": "user", "content": LONG }), json!({ "role": "assistant", "content": "Because of the air." }),]
    );
    provider.release();
    is_titled(&ada, &sent.chat, "Blue skies").await;
    let found = ada.data("{ me { chats(filter: { query: \"blue SKIES\" }) { nodes { title } } } }", json!({})).await;
    assert_eq!(found["me"]["chats"]["nodes"], json!([{ "title": "Blue skies" }]));
    // Later replies and a removed title change nothing.
    ada.talk(&sent.chat, "Go on").await;
    ada.mutate("updateChat", "chat { title }", json!({ "chatId": sent.chat, "title": null })).await.data();
    ada.talk(&sent.chat, "Go on").await;
    assert_eq!((title(&ada, &sent.chat).await, provider.requests(Purpose::Title).len()), (Value::Null, 1));
    server.stop().await;
});

on_both_databases!(titles_are_entered_in_the_usage_ledger, |database| async move {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let provider = provider(move || match is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => Answer::Events(completion("Blue skies")),
        false => Answer::Status(400),
    })
    .await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", LONG).await;
    is_titled(&ada, &sent.chat, "Blue skies").await;
    let failed = ada.ask("fake/model", LONG).await;
    assert_eq!(ada.ended(&failed.reply).await, "COMPLETE");
    provider.has_got(Purpose::Title, 2).await;
    // The stop waits for the entry.
    server.stop().await;
    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    let titles = ledger_entry::Entity::find().filter(ledger_entry::Column::Kind.eq(CallKind::Title));
    let titles = titles.order_by_asc(ledger_entry::Column::Id).all(&rows).await.unwrap();
    let [written, failed] = titles.as_slice() else { panic!("{titles:?}") };
    let chat: ChatId = sent.chat.parse().unwrap();
    assert_eq!((written.chat_id, written.model_id.as_str()), (Some(chat), "fake/model"));
    assert_eq!((written.outcome, written.output_tokens, written.is_estimate), (MessageStatus::Complete, 3, true));
    assert!(written.input_tokens > 50 && written.cost_nanodollars > Some(0), "{written:?}");
    assert!(failed.outcome != MessageStatus::Complete && failed.cost_nanodollars == Some(0), "{failed:?}");
});

on_both_databases!(an_excerpt_stands_in_for_a_title_that_fails, |database| async move {
    let provider = provider(|| Answer::Status(400)).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    for (model, requests) in [("fake/model", 1), ("demo", 1)] {
        let sent = ada.ask(model, LONG).await;
        assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
        provider.has_got(Purpose::Title, requests).await;
        ada.talk(&sent.chat, "Go on").await;
        assert_eq!(title(&ada, &sent.chat).await, EXCERPT, "{model}");
        assert_eq!(provider.requests(Purpose::Title).len(), requests, "{model}");
    }
    // A reply that fails is not the first one.
    let sent = ada.ask("fake/model", "Fail").await;
    assert_eq!(ada.ended(&sent.reply).await, "FAILED");
    assert_eq!(title(&ada, &sent.chat).await, Value::Null);
    let second = json!({ "chatId": sent.chat, "content": "Two", "modelId": "demo" });
    assert_eq!(ada.ended(&ada.send(second).await.reply).await, "COMPLETE");
    assert_eq!(title(&ada, &sent.chat).await, "Fail", "an excerpt of the first message");
    server.stop().await;
});

on_both_databases!(a_title_of_the_user_stays, |database| async move {
    let provider = provider(|| Answer::Held(completion("Blue skies"))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let input = json!({ "newChat": { "modelId": "fake/model", "title": "Mine" }, "content": LONG });
    let mine = ada.send(input).await;
    ada.ended(&mine.reply).await;
    // The user sets a title while the model writes one, to the same text as the excerpt, and to none.
    for wanted in [json!("Ours"), json!(EXCERPT), Value::Null] {
        let before = provider.requests(Purpose::Title).len();
        let sent = ada.ask("fake/model", LONG).await;
        provider.has_got(Purpose::Title, before + 1).await;
        ada.mutate("updateChat", "chat { id }", json!({ "chatId": sent.chat, "title": wanted })).await.data();
        provider.release();
        ada.talk(&sent.chat, "Go on").await;
        assert_eq!(title(&ada, &sent.chat).await, wanted);
    }
    assert_eq!((title(&ada, &mine.chat).await, provider.requests(Purpose::Title).len()), (json!("Mine"), 3));
    server.stop().await;
});

on_both_databases!(after_a_crash_the_excerpt_remains, |database| async move {
    let provider = provider(|| Answer::Held(completion("Blue skies"))).await;
    let setup = Setup::new(&database).with("MODELS_FILE", provider.models_file());
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", LONG).await;
    provider.has_got(Purpose::Title, 1).await;
    server.kill().await;
    let server = setup.start().await;
    let ada = ada.at(server.address);
    ada.talk(&sent.chat, "Go on").await;
    assert_eq!((title(&ada, &sent.chat).await, provider.requests(Purpose::Title).len()), (json!(EXCERPT), 1));
    server.stop().await;
});

on_both_databases!(of_several_first_replies_one_gives_the_title, |database| async move {
    let provider = provider(|| Answer::Events(completion("Blue skies"))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model" })).await;
    for content in ["One", "Two", "Three"] {
        ada.talk(&chat, content).await;
    }
    is_titled(&ada, &chat, "Blue skies").await;
    assert_eq!(provider.requests(Purpose::Title).len(), 1);
    server.stop().await;
});

on_both_databases!(a_shutdown_does_not_wait_for_a_title, |database| async move {
    let provider = provider(|| Answer::Held(completion("Blue skies"))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    ada.ask("fake/model", LONG).await;
    provider.has_got(Purpose::Title, 1).await;
    let start = std::time::Instant::now();
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
});
