//! The `chatEvents` subscription over real sockets, and its delivery in the domain.

use std::sync::Arc;
use std::time::Duration;

use duologue::clock::{IdGenerator, SystemClock};
use duologue::config::models::{ModelSettings, ProviderKeys};
use duologue::domain::chats::{ChatChanges, ChatEvent, Chats, NewChat};
use duologue::domain::input::Change;
use duologue::domain::replies::RunningReplies;
use duologue::domain::viewer::Permissions;
use duologue::domain::{Credential, Error, Viewer};
use duologue::entity::ids::{ChatId, SessionId, UserId};
use duologue::events::InProcess;
use duologue::llm::registry::Registry;
use duologue::storage::Database;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::client::{Client, Sent, User, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;
use crate::support::socket::Socket;

/// How long nothing must arrive before a test concludes that nothing does.
const SILENCE: Duration = Duration::from_millis(300);

const EVENTS: &str = "subscription($chat: ID) { chatEvents(chatId: $chat) { __typename
    ... on EventsStarted { at }
    ... on ChatAdded { chat { id title messageCount lastMessage { content } } }
    ... on ChatChanged { chat { id title isPinned lastMessage { id } } }
    ... on ChatDeleted { chatId }
    ... on MessageAdded { message { id role status content chat { id } } }
    ... on MessageChanged { message { id status content } }
    ... on MessageRemoved { chatId messageId } } }";

/// A socket that has received EventsStarted.
async fn subscribe(client: &Client, chat: Option<&str>) -> Socket {
    let mut socket = client.socket().await;
    socket.subscribe("1", EVENTS, json!({ "chat": chat })).await;
    let started = next(&mut socket).await;
    assert_eq!(started["__typename"], "EventsStarted");
    assert!(started["at"].is_string());
    socket
}

async fn next(socket: &mut Socket) -> Value {
    socket.event_of("1", "chatEvents").await
}

/// The next event: its type, and the id of its object.
async fn summary(socket: &mut Socket) -> (String, String) {
    let event = next(socket).await;
    let id = [&event["chat"]["id"], &event["message"]["id"], &event["messageId"], &event["chatId"]];
    (text(&event["__typename"]), text(id.into_iter().find(|id| id.is_string()).unwrap()))
}

fn pair(kind: &str, id: &str) -> (String, String) {
    (kind.to_owned(), id.to_owned())
}

async fn assert_silent(socket: &mut Socket) {
    let silence = tokio::time::timeout(SILENCE, socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
}

async fn rename(user: &User, chat: &str, title: &str) {
    user.mutate("updateChat", "chat { id }", json!({ "chatId": chat, "title": title })).await.data();
}

on_both_databases!(other_devices_see_the_changes_of_a_tree, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "title": "Tree", "modelId": "demo/fast" })).await;
    let sent = ada.talk(&chat, "one").await;
    let mut socket = subscribe(&ada, Some(&chat)).await;

    let input = json!({ "messageId": sent.reply, "content": "mine" });
    let edited = ada.mutate("editMessage", "message { id }", input).await.data();
    let copy = text(&edited["editMessage"]["message"]["id"]);
    assert_eq!(summary(&mut socket).await, pair("ChatChanged", &chat));
    assert_eq!(summary(&mut socket).await, pair("MessageAdded", &copy));
    // The second call changes nothing.
    for _ in 0..2 {
        let input = json!({ "chatId": chat, "messageId": sent.reply });
        ada.mutate("selectBranch", "chat { id }", input).await.data();
    }
    assert_eq!(summary(&mut socket).await, pair("ChatChanged", &chat));
    ada.mutate("rateMessage", "message { id }", json!({ "messageId": sent.reply, "rating": "UP" })).await.data();
    assert_eq!(summary(&mut socket).await, pair("MessageChanged", &sent.reply));
    for message in [&copy, &sent.reply] {
        ada.mutate("deleteMessage", "messageId", json!({ "messageId": message })).await.data();
    }
    assert_eq!(summary(&mut socket).await, pair("MessageRemoved", &copy));
    assert_eq!(summary(&mut socket).await, pair("ChatChanged", &chat));
    assert_eq!(summary(&mut socket).await, pair("MessageRemoved", &sent.reply));
    assert_silent(&mut socket).await;
    server.stop().await;
});

on_both_databases!(other_devices_see_every_change, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let other = ada.new_chat(json!({ "title": "Other" })).await;
    let (mut laptop, mut phone) = (subscribe(&ada, None).await, subscribe(&ada, None).await);
    let mut page = subscribe(&ada, Some(&other)).await;

    // A chat with a greeting, which has no event of its own.
    let characters = ada.data("{ characters(first: 1) { nodes { id greeting } } }", json!({})).await;
    let character = &characters["characters"]["nodes"][0];
    let chat = ada.new_chat(json!({ "characterId": character["id"], "title": "New" })).await;
    for device in [&mut laptop, &mut phone] {
        let event = next(device).await;
        assert_eq!((&event["__typename"], &event["chat"]["id"]), (&json!("ChatAdded"), &json!(chat)));
        assert_eq!((&event["chat"]["title"], &event["chat"]["messageCount"]), (&json!("New"), &json!(1)));
        assert_eq!(event["chat"]["lastMessage"]["content"], character["greeting"]);
    }

    // A message, and the end of its reply.
    let sent = ada.send(json!({ "chatId": chat, "content": "Hi" })).await;
    ada.ended(&sent.reply).await;
    for device in [&mut laptop, &mut phone] {
        let event = next(device).await;
        let message = json!({ "id": sent.message, "role": "USER", "status": "COMPLETE", "content": "Hi", "chat": { "id": chat } });
        assert_eq!(event, json!({ "__typename": "MessageAdded", "message": message }));
        assert_eq!(summary(device).await, pair("MessageAdded", &sent.reply));
        let event = next(device).await;
        assert_eq!((&event["__typename"], &event["message"]["id"]), (&json!("MessageChanged"), &json!(sent.reply)));
        assert_eq!(event["message"]["status"], "COMPLETE");
        assert!(!text(&event["message"]["content"]).is_empty());
    }

    // A chat created by its first message.
    let first = ada.ask("demo/slow", "Hi").await;
    let expected = |sent: &Sent| {
        [
            pair("ChatAdded", &sent.chat),
            pair("MessageAdded", &sent.message),
            pair("MessageAdded", &sent.reply),
            pair("MessageChanged", &sent.reply),
        ]
    };
    ada.has_written(&first.reply, 1).await;
    ada.mutate("stopReply", "message { id }", json!({ "messageId": first.reply })).await.data();
    for device in [&mut laptop, &mut phone] {
        for event in expected(&first) {
            assert_eq!(summary(device).await, event);
        }
    }

    // Changes of one chat reach the subscription to it. An update without a change has no event.
    rename(&ada, &chat, "New").await;
    rename(&ada, &other, "Renamed").await;
    ada.mutate("deleteChat", "chatId", json!({ "chatId": other })).await.data();
    for device in [&mut laptop, &mut page] {
        let event = next(device).await;
        assert_eq!((&event["__typename"], &event["chat"]["title"]), (&json!("ChatChanged"), &json!("Renamed")));
        assert_eq!(next(device).await, json!({ "__typename": "ChatDeleted", "chatId": other }));
    }
    for device in [&mut laptop, &mut page] {
        assert_silent(device).await;
    }
    server.stop().await;
});

on_both_databases!(a_message_that_changes_the_active_branch_changes_the_chat, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo" })).await;
    let (first, second) = (ada.talk(&chat, "one").await, ada.talk(&chat, "two").await);
    let mut device = subscribe(&ada, Some(&chat)).await;
    let branch = ada.send(json!({ "chatId": chat, "content": "three", "parentId": first.reply })).await;
    ada.ended(&branch.reply).await;
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(summary(&mut device).await);
    }
    for event in [
        pair("ChatChanged", &chat),
        pair("MessageAdded", &branch.message),
        pair("MessageAdded", &branch.reply),
        pair("MessageChanged", &branch.reply),
    ] {
        assert!(events.contains(&event), "{event:?} is not in {events:?}");
    }
    assert_ne!(second.reply, branch.reply);
    server.stop().await;
});

on_both_databases!(repeated_calls_with_an_idempotency_key_have_no_events, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "idempotencyKey": "chat" })).await;
    let send = json!({ "chatId": chat, "content": "Hi", "idempotencyKey": "message" });
    let sent = ada.send(send.clone()).await;
    ada.ended(&sent.reply).await;
    let mut device = subscribe(&ada, None).await;
    assert_eq!(ada.new_chat(json!({ "idempotencyKey": "chat" })).await, chat);
    assert_eq!(ada.send(send).await, sent);
    assert_silent(&mut device).await;
    server.stop().await;
});

on_both_databases!(events_reach_only_the_owner, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, bob) = (server.sign_up("ada").await, server.sign_up("bob").await);
    let chat = ada.new_chat(json!({})).await;
    let mut stranger = subscribe(&bob, None).await;
    for (client, chat, code) in [
        (&*bob, chat.as_str(), "NOT_FOUND"),
        (&bob, "chat_01h455vb4pex5vsknk084sn02q", "NOT_FOUND"),
        (&bob, "chat", "INVALID_INPUT"),
        (&server.client(), chat.as_str(), "UNAUTHENTICATED"),
    ] {
        let mut socket = client.socket().await;
        socket.subscribe("1", EVENTS, json!({ "chat": chat })).await;
        assert_eq!(socket.failure("1").await.code(), code);
    }
    ada.talk(&chat, "Hi").await;
    rename(&ada, &chat, "Mine").await;
    assert_silent(&mut stranger).await;

    // The socket closes with the session, and so does the subscription.
    let mut device = subscribe(&ada, None).await;
    ada.mutate("deleteAccount", "userId", json!({ "password": crate::support::client::PASSWORD })).await.data();
    assert_eq!(device.closed().await, 4403);
    server.stop().await;
});

on_both_databases!(a_subscriber_that_lags_is_ended_and_others_are_not, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({})).await;
    let sent = ada.send(json!({ "chatId": chat, "content": "ü".repeat(8_000) })).await;
    ada.ended(&sent.reply).await;

    // Each event has more than 1 MB. The slow client reads none of them.
    let long: String = (0..90).map(|n| format!("a{n}: content ")).collect();
    let document = format!(
        "subscription {{ chatEvents {{ __typename ... on ChatAdded {{ chat {{ id }} }}
         ... on MessageAdded {{ message {{ {long} }} }} }} }}"
    );
    let mut slow = ada.socket().await;
    slow.subscribe("1", &document, json!({})).await;
    assert_eq!(slow.event_of("1", "chatEvents").await["__typename"], "EventsStarted");
    let mut fast = subscribe(&ada, None).await;
    for _ in 0..6 {
        ada.send(json!({ "newChat": { "modelId": "demo/stalls" }, "content": "ü".repeat(8_000) })).await;
    }
    for _ in 0..6 {
        for kind in ["ChatAdded", "MessageAdded", "MessageAdded"] {
            assert_eq!(next(&mut fast).await["__typename"], kind);
        }
    }
    let chats: String = (0..20).map(|n| format!("a{n}: createChat(input: {{}}) {{ chat {{ id }} }} ")).collect();
    for _ in 0..15 {
        let made = ada.data(&format!("mutation {{ {chats} }}"), json!({})).await;
        for n in 0..20 {
            assert_eq!(summary(&mut fast).await, pair("ChatAdded", &text(&made[format!("a{n}")]["chat"]["id"])));
        }
    }
    let failure = loop {
        let message = slow.next().await;
        assert_eq!(message["type"], "next", "{message}");
        if !message["payload"]["errors"].is_null() {
            break message;
        }
    };
    let extensions = &failure["payload"]["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["retryAfterSeconds"]), (&json!("UNAVAILABLE"), &json!(1)));
    assert_eq!(slow.next().await, json!({ "type": "complete", "id": "1" }));
    rename(&ada, &chat, "Still here").await;
    assert_eq!(next(&mut fast).await["chat"]["title"], "Still here");
    server.stop().await;
});

/// The chats of a user, without a server.
async fn chats(home: &TestDatabase) -> (Chats, Viewer) {
    let server = Setup::new(home).start().await;
    let user_id: UserId = server.sign_up("ada").await.id.parse().unwrap();
    server.stop().await;
    let database = Database::connect(home.url(), 2).await.unwrap();
    let http = duologue::llm::http_client().unwrap();
    let models =
        Registry::build(&ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap(), http).unwrap();
    let chats = Chats {
        database,
        clock: Arc::new(SystemClock),
        ids: Arc::new(IdGenerator::default()),
        models: Arc::new(models),
        running: Arc::new(RunningReplies::new(1, 1)),
        bus: Arc::<InProcess>::default(),
    };
    let viewer = Viewer {
        user_id,
        credential: Credential::Session(SessionId(uuid::Uuid::nil())),
        permissions: Permissions::default(),
        may_write: true,
        token_expires_at: None,
        session_ended: CancellationToken::new(),
    };
    (chats, viewer)
}

on_both_databases!(content_is_read_on_delivery, |home| async move {
    let (chats, viewer) = chats(&home).await;
    let mut events = Box::pin(chats.events(&viewer, None).await.unwrap());
    assert!(matches!(events.next().await, Some(Ok(ChatEvent::Started(_)))));
    let kept = chats.create(&viewer, NewChat::default()).await.unwrap();
    let gone = chats.create(&viewer, NewChat::default()).await.unwrap();
    for title in ["one", "two", "three"] {
        let changes = ChatChanges { title: Change::Set(title.to_owned()), ..ChatChanges::default() };
        chats.update(&viewer, kept.id, changes).await.unwrap();
    }
    chats.delete(&viewer, gone.id).await.unwrap();
    // Changes that wait are merged, and what is gone is skipped.
    let is_kept = |chat: &duologue::entity::chat::Model| chat.id == kept.id && chat.title.as_deref() == Some("three");
    assert!(matches!(events.next().await, Some(Ok(ChatEvent::ChatAdded(chat))) if is_kept(&chat)));
    assert!(matches!(events.next().await, Some(Ok(ChatEvent::ChatChanged(chat))) if is_kept(&chat)));
    assert!(matches!(events.next().await, Some(Ok(ChatEvent::ChatDeleted(id))) if id == gone.id));
    assert!(events.next().now_or_never().is_none());

    // Another user's events never arrive, and a chat of nobody has no subscription.
    let none = chats.events(&viewer, Some(ChatId(uuid::Uuid::nil()))).await;
    assert!(matches!(none.err(), Some(Error::NotFound)));

    // When the content cannot be read, the stream ends, so that the client queries again.
    chats.create(&viewer, NewChat::default()).await.unwrap();
    chats.database.clone().close().await;
    assert!(matches!(events.next().await, Some(Err(Error::Unavailable { .. }))));
    assert!(events.next().await.is_none());
});
