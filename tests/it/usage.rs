//! The usage ledger: one entry for each provider call, which survives crashes and deletions.

use std::time::Duration;

use duologue::entity::enums::{CallKind, Dimension, MessageStatus, Span};
use duologue::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use duologue::entity::{ledger_entry, usage_total};
use duologue::storage::migrations::{Step, run, status};
use duologue::storage::usage::{NO_CHARACTER, NO_USER, record};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::client::{PASSWORD, User};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;

/// No test waits longer for a sweep, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(database: &TestDatabase) -> DatabaseConnection {
    sea_orm::Database::connect(database.url()).await.unwrap()
}

async fn ledger(rows: &DatabaseConnection) -> Vec<ledger_entry::Model> {
    ledger_entry::Entity::find().order_by_asc(ledger_entry::Column::Id).all(rows).await.unwrap()
}

async fn entry(rows: &DatabaseConnection, reply: &str) -> ledger_entry::Model {
    let id: MessageId = reply.parse().unwrap();
    ledger_entry::Entity::find_by_id(id.0).one(rows).await.unwrap().expect("no ledger entry")
}

async fn totals(rows: &DatabaseConnection, dimension: Dimension, span: Span) -> Vec<usage_total::Model> {
    use usage_total::Column;
    let found = usage_total::Entity::find().filter(Column::Dimension.eq(dimension)).filter(Column::Span.eq(span));
    found.all(rows).await.unwrap()
}

on_both_databases!(each_reply_is_entered_once, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let characters = ada.data("{ characters { nodes { id } } }", json!({})).await;
    let character = &characters["characters"]["nodes"][0]["id"];
    let chat = ada.new_chat(json!({ "characterId": character, "modelId": "demo/fast" })).await;
    let whole = ada.talk(&chat, "one two three").await;
    let broken = ada.ask("demo/breaks", "one two three").await;
    let failed = ada.ask("demo/fails", "one two three").await;
    assert_eq!((ada.ended(&broken.reply).await, ada.ended(&failed.reply).await), ("FAILED".into(), "FAILED".into()));
    let rows = connect(&database).await;
    assert_eq!(ledger(&rows).await.len(), 3, "a greeting is no provider call");

    let found = entry(&rows, &whole.reply).await;
    let usage = "usage { inputTokens outputTokens cachedInputTokens isEstimate timeToFirstTokenMs durationMs }";
    let message = ada.message(&whole.reply, usage).await;
    let shown = json!({
        "inputTokens": found.input_tokens, "outputTokens": found.output_tokens,
        "cachedInputTokens": found.cached_input_tokens, "isEstimate": found.is_estimate,
        "timeToFirstTokenMs": found.time_to_first_token_ms, "durationMs": found.duration_ms,
    });
    assert_eq!(message["usage"], shown);
    assert_eq!((found.kind, found.outcome), (CallKind::Reply, MessageStatus::Complete));
    assert_eq!(found.user_id, Some(ada.id.parse::<UserId>().unwrap()));
    assert_eq!(found.chat_id, Some(chat.parse::<ChatId>().unwrap()));
    assert_eq!(found.character_id, Some(character.as_str().unwrap().parse::<CharacterId>().unwrap()));
    assert_eq!((found.model_id.as_str(), found.input_price, found.cost_nanodollars), ("demo/fast", Some(0), Some(0)));

    let found = entry(&rows, &broken.reply).await;
    assert!(found.outcome == MessageStatus::Failed && found.error_code.is_some() && found.is_estimate);
    assert!(found.output_tokens > 10 && found.character_id.is_none());
    let found = entry(&rows, &failed.reply).await;
    assert_eq!((found.input_tokens, found.output_tokens, found.time_to_first_token_ms), (0, 0, None), "it is free");

    for (dimension, count) in [(Dimension::User, 3), (Dimension::Model, 3), (Dimension::Character, 2)] {
        for span in [Span::Hour, Span::Day, Span::Month] {
            let totals = totals(&rows, dimension, span).await;
            // The hour may change during the test.
            assert!(totals.len() >= count, "{dimension:?} {span:?} {totals:?}");
            let sum = |count: fn(&usage_total::Model) -> i64| totals.iter().map(count).sum::<i64>();
            assert_eq!((sum(|total| total.reply_count), sum(|total| total.failed_reply_count)), (3, 2));
            let all = ledger(&rows).await;
            assert_eq!(
                (sum(|total| total.input_tokens), sum(|total| total.output_tokens)),
                (
                    all.iter().map(|entry| i64::from(entry.input_tokens)).sum(),
                    all.iter().map(|entry| i64::from(entry.output_tokens)).sum()
                )
            );
        }
    }
    rows.close().await.unwrap();
    server.stop().await;
});

on_both_databases!(a_reply_of_a_killed_server_is_entered_once, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let cut = ada.ask("demo/slow", "one two three").await;
    let silent = ada.ask("demo/stalls", "one two three").await;
    ada.has_written(&cut.reply, 20).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.kill().await;
    for _ in 0..2 {
        let server = setup.start().await;
        let rows = connect(&database).await;
        assert_eq!(ledger(&rows).await.len(), 2);
        for reply in [&cut.reply, &silent.reply] {
            let found = entry(&rows, reply).await;
            assert_eq!((found.outcome, found.model_id.starts_with("demo/")), (MessageStatus::Interrupted, true));
            assert_eq!(found.user_id, Some(ada.id.parse::<UserId>().unwrap()));
        }
        assert!(entry(&rows, &cut.reply).await.output_tokens > 0);
        let months = totals(&rows, Dimension::User, Span::Month).await;
        assert_eq!(months.iter().map(|total| total.failed_reply_count).sum::<i64>(), 2);
        rows.close().await.unwrap();
        server.stop().await;
    }
});

/// Waits until the sweep after a deletion has removed the user from the ledger.
async fn anonymized(rows: &DatabaseConnection) -> Vec<ledger_entry::Model> {
    let start = std::time::Instant::now();
    loop {
        let found = ledger(rows).await;
        if found.iter().all(|entry| entry.user_id.is_none()) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn delete_account(user: &User) {
    user.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
}

on_both_databases!(entries_survive_the_deletion_of_chats_and_users, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let kept = ada.ask("demo/fast", "one two three").await;
    let other = ada.ask("demo/fast", "four").await;
    let (_, _) = tokio::join!(ada.ended(&kept.reply), ada.ended(&other.reply));
    // The chat is deleted while a reply runs; the reply's call is entered all the same.
    let running = ada.ask("demo/slow", "five").await;
    ada.has_written(&running.reply, 10).await;
    for chat in [&other.chat, &running.chat] {
        ada.mutate("deleteChat", "chatId", json!({ "chatId": chat })).await.data();
    }
    let rows = connect(&database).await;
    let start = std::time::Instant::now();
    while ledger(&rows).await.len() < 3 {
        assert!(start.elapsed() < PATIENCE, "the call of a deleted reply is lost");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let before = ledger(&rows).await;
    assert!(before.iter().all(|entry| entry.user_id.is_some() && entry.chat_id.is_some()));
    assert!(entry(&rows, &running.reply).await.output_tokens > 0);
    let months = totals(&rows, Dimension::User, Span::Month).await;

    delete_account(&ada).await;
    let after = anonymized(&rows).await;
    let nameless = |entry: &ledger_entry::Model| ledger_entry::Model { user_id: None, chat_id: None, ..entry.clone() };
    assert_eq!(after, before.iter().map(nameless).collect::<Vec<_>>());
    let start = std::time::Instant::now();
    let moved = loop {
        let moved = totals(&rows, Dimension::User, Span::Month).await;
        if moved.iter().all(|total| total.user_id == NO_USER) {
            break moved;
        }
        assert!(start.elapsed() < PATIENCE, "{moved:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let sums = |totals: &[usage_total::Model]| {
        totals.iter().fold((0, 0, 0), |(replies, input, output), total| {
            (replies + total.reply_count, input + total.input_tokens, output + total.output_tokens)
        })
    };
    assert_eq!(sums(&moved), sums(&months));
    rows.close().await.unwrap();
    server.stop().await;
});

on_both_databases!(an_entry_is_added_to_the_totals_once, |database| async move {
    run(database.url(), Step::Up(None)).await.unwrap();
    let db = duologue::storage::Database::connect(database.url(), 4).await.unwrap();
    let entry = |number: u128| ledger_entry::Model {
        id: Uuid::from_u128(number),
        kind: CallKind::Title,
        user_id: Some(UserId(Uuid::from_u128(7))),
        chat_id: Some(ChatId(Uuid::from_u128(8))),
        character_id: None,
        model_id: "m".to_owned(),
        started_at: "2026-11-30T23:59:59.999Z".parse().unwrap(),
        input_tokens: 10,
        cached_input_tokens: 5,
        output_tokens: 1,
        is_estimate: false,
        input_price: Some(1),
        cached_input_price: Some(1),
        output_price: Some(1),
        cost_nanodollars: Some(11),
        time_to_first_token_ms: None,
        duration_ms: None,
        outcome: MessageStatus::Failed,
        error_code: None,
    };
    for batch in [vec![], vec![entry(1), entry(2)], vec![entry(3), entry(2), entry(1)], vec![entry(2)]] {
        let transaction = db.begin().await.unwrap();
        record(&transaction, batch).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let rows = connect(&database).await;
    let found = ledger(&rows).await;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|entry| (entry.user_id, entry.chat_id) == (None, None)), "there is no such user");
    let all = usage_total::Entity::find().all(&rows).await.unwrap();
    assert_eq!(all.len(), 9);
    for total in all {
        let counts = (total.reply_count, total.failed_reply_count, total.input_tokens, total.output_tokens);
        assert_eq!((counts, total.cost_nanodollars), ((0, 0, 30, 3), 33), "a title is no reply");
        assert_eq!((total.user_id, total.character_id), (NO_USER, NO_CHARACTER));
        let month = 2026 * 12 + 10;
        assert!(total.span != Span::Month || total.start == month, "{total:?}");
    }
    rows.close().await.unwrap();
    db.close().await;
});

on_both_databases!(ended_replies_of_older_versions_are_entered, |database| async move {
    let all = status(database.url()).await.unwrap();
    let before = all.iter().position(|(name, _)| name.ends_with("000111_usage")).unwrap();
    run(database.url(), Step::Up(Some(u32::try_from(before).unwrap()))).await.unwrap();
    let rows = connect(&database).await;
    let is_postgres = database.url().starts_with("postgres");
    let id = |number: u32| match is_postgres {
        true => format!("'00000000-0000-7000-8000-{number:012}'"),
        false => format!("x'0000000000007000800{number:013}'"),
    };
    let now = "'2026-11-20 09:30:00+00:00'";
    let users = "id, username, username_key, email, email_key, password_hash, is_active, created_at, updated_at";
    let user = format!("{}, 'ada', 'ada', 'a@x.org', 'a@x.org', '', TRUE, {now}, {now}", id(1));
    let chats = "id, owner_id, model_id, is_pinned, is_archived, message_count, created_at, updated_at, active_at";
    let chat = format!("{}, {}, 'm', FALSE, FALSE, 4, {now}, {now}, {now}", id(2), id(1));
    let mut statements = vec![
        format!("INSERT INTO users ({users}) VALUES ({user})"),
        format!("INSERT INTO chats ({chats}) VALUES ({chat})"),
    ];
    let messages = "id, chat_id, depth, jump_id, jump_depth, is_leaf, role, status, body, branch_tokens, \
        is_stop_requested, model_id, input_tokens, output_tokens, cached_input_tokens, is_usage_estimate, \
        cost_nanodollars, created_at";
    for (number, role, status, model, usage, at) in [
        (3, 0, 0, "NULL", "NULL, NULL, NULL, FALSE, NULL", "2026-11-30T23:59:59.999+00:00"),
        (4, 1, 0, "'m'", "20, 3, 2, FALSE, 50", "2026-11-30T23:59:59.999+00:00"),
        (5, 1, 4, "'m'", "7, 1, 0, TRUE, NULL", "2026-12-01T00:00:00+00:00"),
        (6, 1, 3, "'m'", "NULL, NULL, NULL, FALSE, NULL", "2026-12-01T00:00:00+00:00"),
        (7, 1, 0, "NULL", "NULL, NULL, NULL, FALSE, NULL", "2026-12-01T00:00:00+00:00"),
    ] {
        let (key, chat) = (id(number), id(2));
        let row = format!("{key}, {chat}, 0, {key}, 0, TRUE, {role}, {status}, '', 0, FALSE, {model}, {usage}, '{at}'");
        statements.push(format!("INSERT INTO messages ({messages}) VALUES ({row})"));
    }
    for statement in statements {
        rows.execute_unprepared(&statement).await.unwrap();
    }
    rows.close().await.unwrap();
    run(database.url(), Step::Up(None)).await.unwrap();
    let rows = connect(&database).await;
    let found = ledger(&rows).await;
    let shown: Vec<_> = found
        .iter()
        .map(|entry| (entry.input_tokens, entry.output_tokens, entry.cost_nanodollars, entry.outcome))
        .collect();
    let (complete, interrupted, failed) = (MessageStatus::Complete, MessageStatus::Interrupted, MessageStatus::Failed);
    assert_eq!(shown, [(20, 3, Some(50), complete), (7, 1, None, interrupted), (0, 0, None, failed)]);
    assert!(found.iter().all(|entry| entry.user_id.is_some() && entry.input_price.is_none()));
    for dimension in [Dimension::User, Dimension::Model, Dimension::Character] {
        for span in [Span::Hour, Span::Day, Span::Month] {
            let mut totals = totals(&rows, dimension, span).await;
            totals.sort_by_key(|total| total.start);
            let shown: Vec<_> = totals
                .iter()
                .map(|total| (total.reply_count, total.failed_reply_count, total.input_tokens, total.cost_nanodollars))
                .collect();
            assert_eq!(shown, [(1, 0, 20, 50), (2, 2, 7, 0)], "{dimension:?} {span:?}");
            let first = duologue::storage::usage::bucket(span, found[0].started_at);
            assert_eq!((totals[0].start, totals[1].start), (first, first + 1));
        }
    }
    rows.close().await.unwrap();
});
