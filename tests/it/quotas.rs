//! Monthly quotas: limits of users and roles, and reservations that concurrent replies cannot exceed together.

use std::time::Duration;

use chrono::{Datelike as _, TimeZone as _, Utc};
use duologue::clock::{Clock as _, SystemClock};
use duologue::entity::quota_reservation;
use futures_util::future::join_all;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};

use crate::support::client::{Client, SEND, User, sent, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::provider::{Answer, FakeProvider, Purpose, completion};
use crate::support::server::Setup;
use crate::support::staff::{root, with_admin};

const QUOTA: &str = "quota { costLimit costUsed tokenLimit tokensUsed resetsAt }";

async fn quota(user: &Client) -> Value {
    user.data(&format!("{{ me {{ {QUOTA} }} }}"), json!({})).await["me"]["quota"].take()
}

async fn set_quota(admin: &User, user: &User, limits: Value) -> Value {
    let mut input = json!({ "userId": user.id });
    input.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    admin.mutate("setUserQuota", &format!("user {{ {QUOTA} }}"), input).await.data()["setUserQuota"]["user"]["quota"]
        .take()
}

async fn reservations(database: &TestDatabase) -> u64 {
    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    let count = quota_reservation::Entity::find().count(&rows).await.unwrap();
    rows.close().await.unwrap();
    count
}

/// Waits until no reservation is left: an ended reply is shown as soon as its end is saved.
async fn released(database: &TestDatabase) {
    let start = std::time::Instant::now();
    while reservations(database).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "a reservation is left");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Models with prices and limits of their own.
const MODELS: &str = r#"
[[models]]
id = "limited"
provider = "demo"
upstream = "demo/stalls"
context_window = 8000
max_output_tokens = 1000
input_price = 1
output_price = 2
[[models]]
id = "quick"
provider = "demo"
upstream = "demo/fast"
context_window = 8000
max_output_tokens = 1000
input_price = 1
output_price = 2
"#;

fn with_models(setup: Setup, folder: &tempfile::TempDir) -> Setup {
    let file = folder.path().join("models.toml");
    std::fs::write(&file, MODELS).unwrap();
    setup.with("MODELS_FILE", file.to_str().unwrap())
}

on_both_databases!(concurrent_replies_do_not_exceed_a_quota_together, |database| async move {
    let folder = tempfile::tempdir().unwrap();
    let setup = with_models(with_admin(Setup::new(&database)), &folder);
    let server = setup.start().await;
    let (admin, ada) = (root(&server).await, server.sign_up("ada").await);
    // Each reply reserves 1,000 tokens of output and the tokens of a message.
    set_quota(&admin, &ada, json!({ "tokenLimit": 10_500 })).await;
    let ask = |number: usize| {
        let input =
            json!({ "newChat": { "modelId": "limited" }, "content": "Hello", "idempotencyKey": format!("k{number}") });
        let ada = ada.clone();
        async move { ada.run(SEND, json!({ "input": input })).await }
    };
    let answers = join_all((0..50).map(ask)).await;
    let (started, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.0["errors"].is_null());
    assert_eq!((started.len(), refused.len()), (10, 40));
    let now = SystemClock.now();
    let next = if now.month() == 12 { (now.year() + 1, 1) } else { (now.year(), now.month() + 1) };
    let left = (Utc.with_ymd_and_hms(next.0, next.1, 1, 0, 0, 0).unwrap() - now).num_seconds();
    for answer in &refused {
        assert_eq!(answer.code(), "QUOTA_EXCEEDED");
        let wait = answer.extensions()["retryAfterSeconds"].as_i64().unwrap();
        assert!((wait - left).abs() < 60, "{wait} {left}");
    }
    assert_eq!(quota(&ada).await["tokensUsed"], 0, "reservations are not shown");
    assert_eq!(reservations(&database).await, 10);

    // Nothing stays reserved after a crash.
    server.kill().await;
    let server = setup.start().await;
    released(&database).await;
    let here = ada.at(server.address);
    let used = quota(&here).await["tokensUsed"].as_i64().unwrap();
    let again = join_all((0..9).map(|number| {
        let input =
            json!({ "newChat": { "modelId": "limited" }, "content": "Hello", "idempotencyKey": format!("a{number}") });
        let here = here.clone();
        async move { here.send(input).await }
    }))
    .await;
    assert!(used < 1_000, "{used}");
    for one in again {
        here.mutate("stopReply", "message { id }", json!({ "messageId": one.reply })).await.data();
    }
    server.stop().await;
});

on_both_databases!(nothing_stays_reserved_after_a_kill_during_the_sends, |database| async move {
    let folder = tempfile::tempdir().unwrap();
    let setup = with_models(with_admin(Setup::new(&database)), &folder);
    let server = setup.start().await;
    let (admin, ada) = (root(&server).await, server.sign_up("ada").await);
    set_quota(&admin, &ada, json!({ "tokenLimit": 10_500 })).await;
    let input = |key: String| json!({ "newChat": { "modelId": "limited" }, "content": "Hello", "idempotencyKey": key });
    let ask = |number: usize| {
        let (ada, input) = (ada.clone(), input(format!("k{number}")));
        async move { ada.try_send(input).await }
    };
    // The kill comes while sends are in work: some have started replies, others have no answer yet.
    let sends = tokio::task::JoinSet::from_iter((0..50).map(ask));
    let start = std::time::Instant::now();
    while reservations(&database).await == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "no reply starts");
    }
    server.kill().await;
    let answers = sends.join_all().await;
    let started = answers.iter().flatten().filter(|answer| answer.0["errors"].is_null()).count();
    assert!(started <= 10, "{started}");

    let server = setup.start().await;
    released(&database).await;
    let here = ada.at(server.address);
    let used = quota(&here).await["tokensUsed"].as_i64().unwrap();
    assert!(used < 500, "no reply had text: {used}");
    // Exactly the allowed number of replies starts. Keys of the first run return their replies, which have ended.
    let again = join_all((0..50).map(|number| {
        let (here, input) = (here.clone(), input(format!("a{number}")));
        async move { here.run(SEND, json!({ "input": input })).await }
    }))
    .await;
    let (started, refused): (Vec<_>, Vec<_>) = again.into_iter().partition(|answer| answer.0["errors"].is_null());
    assert_eq!((started.len(), refused.len()), (10, 40));
    assert!(refused.iter().all(|answer| answer.code() == "QUOTA_EXCEEDED"));
    for one in started {
        here.mutate("stopReply", "message { id }", json!({ "messageId": sent(one).reply })).await.data();
    }
    released(&database).await;
    server.stop().await;
});

on_both_databases!(a_reply_is_settled_when_it_ends, |database| async move {
    let folder = tempfile::tempdir().unwrap();
    let server = with_models(with_admin(Setup::new(&database)), &folder).start().await;
    let (admin, ada) = (root(&server).await, server.sign_up("ada").await);
    let found = quota(&ada).await;
    assert_eq!((&found["costLimit"], &found["tokenLimit"]), (&Value::Null, &Value::Null));
    assert_eq!((&found["costUsed"], &found["tokensUsed"]), (&json!(0), &json!(0)));

    // 1,000 tokens of output at two dollars a million, and a few of input.
    set_quota(&admin, &ada, json!({ "costLimit": 3_500 })).await;
    let one = ada.ask("limited", "Hello").await;
    let input = json!({ "newChat": { "modelId": "limited" }, "content": "Hello" });
    assert_eq!(ada.run(SEND, json!({ "input": input })).await.code(), "QUOTA_EXCEEDED");
    ada.mutate("stopReply", "message { id }", json!({ "messageId": one.reply })).await.data();
    assert_eq!(ada.ended(&one.reply).await, "STOPPED");
    released(&database).await;

    let whole =
        sent(ada.run(SEND, json!({ "input": { "newChat": { "modelId": "quick" }, "content": "Hello" } })).await);
    assert_eq!(ada.ended(&whole.reply).await, "COMPLETE");
    let usage = |reply: String| {
        let ada = ada.clone();
        async move { ada.message(&reply, "usage { inputTokens outputTokens cost }").await["usage"].take() }
    };
    let (stopped, usage) = (usage(one.reply.clone()).await, usage(whole.reply.clone()).await);
    let found = quota(&ada).await;
    let sum = |name: &str| usage[name].as_i64().unwrap() + stopped[name].as_i64().unwrap_or(0);
    assert_eq!(found["tokensUsed"], json!(sum("inputTokens") + sum("outputTokens")));
    assert!((found["costUsed"].as_i64().unwrap() - sum("cost")).abs() <= 1, "rounded once: {found} {usage}");
    assert_eq!(reservations(&database).await, 0);
    assert!(text(&found["resetsAt"]).ends_with("-01T00:00:00.000Z"));

    // The failure before the first token releases the reservation, and is free.
    set_quota(&admin, &ada, json!({ "costLimit": null, "tokenLimit": 100_000_000 })).await;
    let before = quota(&ada).await["tokensUsed"].clone();
    let failed = ada.ask("demo/fails", "Hello").await;
    assert_eq!(ada.ended(&failed.reply).await, "FAILED");
    released(&database).await;
    assert_eq!(quota(&ada).await["tokensUsed"], before);
    server.stop().await;
});

on_both_databases!(limits_come_from_the_user_or_the_most_generous_role, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let (admin, ada) = (root(&server).await, server.sign_up("ada").await);
    let role = async |name: &str, limits: Value| {
        let mut input = json!({ "name": name, "permissions": [] });
        input.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let found = admin.mutate("createRole", "role { id costLimit tokenLimit }", input).await.data();
        text(&found["createRole"]["role"]["id"])
    };
    let small = role("small", json!({ "costLimit": 10, "tokenLimit": 500 })).await;
    let large = role("large", json!({ "costLimit": 20 })).await;
    let none = role("none", json!({})).await;
    let set_roles = async |roles: &[&String]| {
        admin.mutate("setUserRoles", "user { id }", json!({ "userId": ada.id, "roleIds": roles })).await.data();
        let found = quota(&ada).await;
        (found["costLimit"].clone(), found["tokenLimit"].clone())
    };
    assert_eq!(set_roles(&[&none]).await, (Value::Null, Value::Null));
    assert_eq!(set_roles(&[&small, &none]).await, (json!(10), json!(500)));
    assert_eq!(set_roles(&[&small, &large, &none]).await, (json!(20), json!(500)), "each limit by itself");

    let own = set_quota(&admin, &ada, json!({ "costLimit": 5 })).await;
    assert_eq!((&own["costLimit"], &own["tokenLimit"]), (&json!(5), &json!(500)));
    let own = set_quota(&admin, &ada, json!({ "tokenLimit": 0 })).await;
    assert_eq!((&own["costLimit"], &own["tokenLimit"]), (&json!(5), &json!(0)));
    let input = json!({ "newChat": { "modelId": "demo" }, "content": "Hello" });
    assert_eq!(ada.run(SEND, json!({ "input": input })).await.code(), "QUOTA_EXCEEDED");
    let own = set_quota(&admin, &ada, json!({ "costLimit": null, "tokenLimit": null })).await;
    assert_eq!((&own["costLimit"], &own["tokenLimit"]), (&json!(20), &json!(500)));

    let changed = json!({ "roleId": large, "costLimit": null, "tokenLimit": 1_000 });
    let changed =
        admin.mutate("updateRole", "role { costLimit tokenLimit }", changed).await.data()["updateRole"].take();
    assert_eq!(changed["role"], json!({ "costLimit": null, "tokenLimit": 1_000 }));
    let found = quota(&ada).await;
    assert_eq!((&found["costLimit"], &found["tokenLimit"]), (&json!(10), &json!(1_000)));

    for (field, input) in [
        ("setUserQuota", json!({ "userId": ada.id, "costLimit": -1 })),
        ("setUserQuota", json!({ "userId": ada.id, "tokenLimit": 1.5 })),
        ("setUserQuota", json!({ "userId": ada.id, "tokenLimit": 9_007_199_254_740_992_i64 })),
        ("createRole", json!({ "name": "x", "permissions": [], "tokenLimit": -1 })),
        ("updateRole", json!({ "roleId": large, "costLimit": -1 })),
    ] {
        assert_eq!(admin.mutate(field, "__typename", input.clone()).await.code(), "INVALID_INPUT", "{field} {input}");
    }
    assert_eq!(
        admin.mutate("setUserQuota", "__typename", json!({ "userId": admin.session_id })).await.code(),
        "INVALID_INPUT"
    );
    let refused = ada.mutate("setUserQuota", "__typename", json!({ "userId": ada.id })).await;
    assert_eq!(refused.code(), "FORBIDDEN");

    let log = admin
        .data(
            "{ admin { auditLog(filter: { action: \"user.quota_set\" }) { nodes { detail subjectId } } } }",
            json!({}),
        )
        .await;
    let entries = log["admin"]["auditLog"]["nodes"].as_array().unwrap().clone();
    assert_eq!((entries.len(), &entries[0]["subjectId"]), (3, &json!(ada.id)));
    let wanted = json!({ "costLimit": 5, "tokenLimit": null, "before": { "costLimit": null, "tokenLimit": null } });
    assert_eq!(entries[2]["detail"], wanted);
    server.stop().await;
});

on_both_databases!(titles_and_summaries_need_room_in_the_quota, |database| async move {
    let provider = FakeProvider::scripted(2_000, |request| {
        let is_held = request["messages"].as_array().unwrap().iter().any(|message| message["content"] == "Hold");
        match Purpose::of(request) {
            Purpose::Reply if is_held => Answer::Held(completion(&"word ".repeat(1_200))),
            _ => Answer::Events(completion("Because of the air.")),
        }
    })
    .await;
    let setup = with_admin(Setup::new(&database)).with("MODELS_FILE", provider.models_file());
    let server = setup.start().await;
    let (admin, ada) = (root(&server).await, server.sign_up("ada").await);
    let background = || provider.requests(Purpose::Title).len() + provider.requests(Purpose::Summary).len();
    let ask = |content: &'static str| {
        let ada = ada.clone();
        async move { ada.send(json!({ "newChat": { "modelId": "fake/model" }, "content": content })).await }
    };
    // The quota is used up while the reply is written.
    let sent = ask("Hold").await;
    provider.has_got(Purpose::Reply, 1).await;
    set_quota(&admin, &ada, json!({ "tokenLimit": 1 })).await;
    provider.release();
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    let start = std::time::Instant::now();
    let refusals = || server.log().iter().filter(|line| line.contains("the quota has no room")).count();
    while refusals() < 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "{:#?}", server.log());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(background(), 0, "neither a title nor a summary");
    let chat = ada.data("query($id: ID!) { chat(id: $id) { title } }", json!({ "id": sent.chat })).await;
    assert_eq!(chat["chat"]["title"], "Hold", "the excerpt");

    set_quota(&admin, &ada, json!({ "tokenLimit": 1_000_000 })).await;
    let sent = ask("Go").await;
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    provider.has_got(Purpose::Title, 1).await;
    server.stop().await;
});
