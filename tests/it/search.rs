//! Full-text search: the messages that match, their order and snippets, and the index behind it.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};

use crate::support::client::{Answer, User, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;

const SEARCH: &str = "query($query: String!, $filter: MessageFilter, $first: Int, $after: String) {
    searchMessages(query: $query, filter: $filter, first: $first, after: $after) {
        nodes { snippet message { id content role chat { id } } } edges { cursor node { message { id } } }
        pageInfo { hasNextPage hasPreviousPage endCursor } } }";

async fn search(by: &User, variables: Value) -> Answer {
    by.run(SEARCH, variables).await
}

/// The contents of the messages that a search finds, in their order.
async fn found(by: &User, variables: Value) -> Vec<String> {
    let found = search(by, variables).await.data()["searchMessages"].take();
    found["nodes"].as_array().unwrap().iter().map(|node| text(&node["message"]["content"])).collect()
}

async fn snippets(by: &User, query: &str) -> Vec<String> {
    let found = search(by, json!({ "query": query })).await.data()["searchMessages"].take();
    let shown = |node: &Value| text(&node["snippet"]).replace('\u{E000}', "[").replace('\u{E001}', "]");
    found["nodes"].as_array().unwrap().iter().map(shown).collect()
}

/// A character whose greeting is `text`, so that a chat with it has one message that no model wrote.
async fn greeter(by: &User, text_of: &str) -> String {
    let input = json!({ "name": "Bot", "systemPrompt": "x", "greeting": text_of });
    text(&by.mutate("createCharacter", "character { id }", input).await.data()["createCharacter"]["character"]["id"])
}

/// A new chat whose only message is `text`.
async fn say(by: &User, text: &str) -> String {
    by.new_chat(json!({ "characterId": greeter(by, text).await })).await
}

async fn rows(database: &TestDatabase) -> DatabaseConnection {
    sea_orm::Database::connect(database.url()).await.unwrap()
}

async fn count(rows: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(rows.get_database_backend(), sql);
    rows.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn wait_until(rows: &DatabaseConnection, sql: &str, wanted: i64) {
    let start = Instant::now();
    while count(rows, sql).await != wanted {
        assert!(start.elapsed() < Duration::from_secs(40), "{sql}: {}", count(rows, sql).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

on_both_databases!(messages_are_found_by_their_words, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let texts = [
        "The crème brûlée, STRASSE and \"OR\" snake_case",
        "big cat, small dog",
        "a cat that is big; it's 100% title:dog",
        "日本語のテキスト。検索できます",
        "한국어 검색 & ไทยค้นหา",
        "C'est l'été à Łódź ﬁn \u{E000}pri\u{E001}vate",
    ];
    for text in texts {
        say(&ada, text).await;
    }
    say(&eve, "big cat of eve brulee").await;
    for (query, wanted) in [
        ("creme", vec![0]),
        ("BRÛLÉE Crème", vec![0]),
        ("straße", vec![0]),
        ("snake", vec![0]),
        ("cat", vec![1, 2]),
        ("cat dog", vec![1, 2]),
        ("\"big cat\"", vec![1]),
        ("\"cat big\"", vec![]),
        ("\"cat small\"", vec![1]),
        ("big -cat", vec![1, 2]),
        ("cat OR brulee", vec![]),
        ("or", vec![0]),
        ("title:dog", vec![2]),
        ("ca*", vec![]),
        ("ca", vec![]),
        ("cats", vec![]),
        ("100%", vec![2]),
        ("本語", vec![3]),
        ("本テ", vec![]),
        ("検索", vec![3]),
        ("索検", vec![]),
        ("국어", vec![4]),
        ("ค้น", vec![4]),
        ("ete lodz fin private", vec![5]),
    ] {
        let mut found = found(&ada, json!({ "query": query })).await;
        let mut wanted: Vec<&str> = wanted.into_iter().map(|number: usize| texts[number]).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{query}");
    }
    assert_eq!(found(&eve, json!({ "query": "big cat" })).await, ["big cat of eve brulee"]);

    assert_eq!(snippets(&ada, "creme strasse").await, ["The [crème] brûlée, [STRASSE] and \"OR\" snake_case"]);
    assert_eq!(snippets(&ada, "\"big cat\" dog").await, ["[big cat], small [dog]"]);
    assert_eq!(snippets(&ada, "本語").await, ["日[本語]のテキスト。検索できます"]);
    assert_eq!(snippets(&ada, "private").await, ["C'est l'été à Łódź ﬁn [private]"]);
    server.stop().await;
});

on_both_databases!(hostile_searches_are_plain_text, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let chat = say(&ada, "secret cat").await;
    // The scope of the index cannot be named by a text or a search.
    let id = |id: &str| {
        let typed: duologue::entity::ids::UserId = id.parse().unwrap();
        typed.0.simple().to_string()
    };
    say(&eve, &format!("@{} cat", id(&ada.id))).await;
    assert_eq!(found(&ada, json!({ "query": "cat" })).await, ["secret cat"]);
    assert_eq!(found(&eve, json!({ "query": format!("@{} secret", id(&ada.id)) })).await, Vec::<String>::new());
    for query in [
        "cat\" OR \"dog",
        "cat AND",
        "NEAR(cat, 5)",
        "{words} : cat",
        "-cat:",
        "words:cat",
        "^cat",
        "cat*",
        "'cat' | !dog",
        "cat:*A & (dog",
        "cat' -- ",
        "cat; DROP TABLE messages",
        "\\cat\\",
        "cat <-> dog",
        "\"cat\" \"",
        "cat %' OR 1=1",
        "🙂 cat 🏳️‍🌈",
        "cat \u{202e}x",
        "\u{301} cat",
    ] {
        search(&ada, json!({ "query": query })).await.data();
    }
    for (query, code) in [
        ("", "REQUIRED"),
        (" \u{3000}", "REQUIRED"),
        ("\"\"", "REQUIRED"),
        ("*", "REQUIRED"),
        ("cat\0", "MALFORMED"),
        ("cat\n", "MALFORMED"),
        (&"a".repeat(8_000), "TOO_LONG"),
        (&"\"".repeat(150), "REQUIRED"),
        (&(0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(" "), "TOO_LONG"),
    ] {
        assert_eq!(search(&ada, json!({ "query": query })).await.complaint(), format!("INVALID_INPUT query:{code}"));
    }
    search(&ada, json!({ "query": "日".repeat(200) })).await.data();
    search(&ada, json!({ "query": format!("\"{}\"", "a ".repeat(99)) })).await.data();
    for (variables, complaint) in [
        (json!({ "first": 101 }), "first:OUT_OF_RANGE"),
        (json!({ "after": "x" }), "after:MALFORMED"),
        (json!({ "filter": { "chatId": "x" } }), "filter.chatId:MALFORMED"),
        (json!({ "filter": { "characterId": chat } }), "filter.characterId:MALFORMED"),
    ] {
        let mut variables = variables;
        variables["query"] = json!("cat");
        assert_eq!(search(&ada, variables).await.complaint(), format!("INVALID_INPUT {complaint}"));
    }
    assert_eq!(server.client().run(SEARCH, json!({ "query": "cat" })).await.code(), "UNAUTHENTICATED");
    server.stop().await;
});

on_both_databases!(searches_are_filtered_and_ranked, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let character = greeter(&ada, "cat one").await;
    let first = ada.new_chat(json!({ "characterId": character })).await;
    let sent = ada.send(json!({ "chatId": first, "content": "cat two", "modelId": "demo/fast" })).await;
    ada.ended(&sent.reply).await;
    let before: String = {
        let message = ada.message(&sent.message, "createdAt").await;
        text(&message["createdAt"])
    };
    let second = say(&ada, "cat cat three").await;
    say(&ada, &format!("cat {}", "dog ".repeat(200))).await;

    let best = found(&ada, json!({ "query": "cat" })).await;
    assert_eq!(best[0], "cat cat three", "more often in a short text");
    assert_eq!(best.len(), 4 + usize::from(best.iter().any(|text| text.contains("two") && text.len() > 20)));
    assert!(best.last().unwrap().starts_with("cat dog"), "{best:?}");
    let in_chat = found(&ada, json!({ "query": "cat", "filter": { "chatId": second } })).await;
    assert_eq!(in_chat, ["cat cat three"]);
    for filter in [json!({ "characterId": character }), json!({ "characterId": character, "chatId": first })] {
        let mut with_character = found(&ada, json!({ "query": "cat", "filter": filter })).await;
        with_character.retain(|text| text.len() < 10);
        with_character.sort_unstable();
        assert_eq!(with_character, ["cat one", "cat two"]);
    }
    let none = json!({ "query": "cat", "filter": { "characterId": character, "chatId": second } });
    assert_eq!(found(&ada, none).await, Vec::<String>::new());
    let old = found(&ada, json!({ "query": "cat", "filter": { "to": before } })).await;
    assert_eq!(old, ["cat one"], "the end of the range is not included");
    let new = found(&ada, json!({ "query": "cat", "filter": { "from": before } })).await;
    assert!(new.contains(&"cat two".to_owned()) && !new.contains(&"cat one".to_owned()), "{new:?}");
    let empty = json!({ "query": "cat", "filter": { "from": before, "to": before } });
    assert_eq!(found(&ada, empty).await, Vec::<String>::new());

    // The filter does not show other users' chats, and neither does the character.
    for filter in [json!({ "chatId": second }), json!({ "characterId": character })] {
        assert_eq!(found(&eve, json!({ "query": "cat", "filter": filter })).await, Vec::<String>::new());
    }
    // A reply is found, too.
    let reply = text(&ada.message(&sent.reply, "content").await["content"]);
    let word = reply.split(|letter: char| !letter.is_ascii_alphabetic()).max_by_key(|word| word.len()).unwrap();
    assert!(
        found(&ada, json!({ "query": word, "filter": { "chatId": first } })).await.contains(&reply),
        "{word}: {reply}"
    );
    server.stop().await;
});

on_both_databases!(pages_continue_after_their_cursor, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let character = greeter(&ada, "cat").await;
    let create = format!("createChat(input: {{ characterId: \"{character}\" }}) {{ chat {{ id }} }}");
    let twenty: String = (0..20).map(|number| format!("a{number}: {create} ")).collect();
    for _ in 0..21 {
        ada.data(&format!("mutation {{ {twenty} }}"), json!({})).await;
    }
    let best = say(&ada, "cat cat").await;
    say(&ada, &format!("cat {}", "dog ".repeat(50))).await;
    let (mut seen, mut after, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let page =
            search(&ada, json!({ "query": "cat", "first": 50, "after": after })).await.data()["searchMessages"].take();
        let nodes = page["nodes"].as_array().unwrap();
        let edges: Vec<&Value> =
            page["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]["message"]["id"]).collect();
        assert_eq!(nodes.iter().map(|node| &node["message"]["id"]).collect::<Vec<_>>(), edges);
        if pages == 0 {
            assert_eq!(nodes[0]["message"]["chat"]["id"], best);
            // A message that is written meanwhile does not move the others.
            say(&ada, "cat cat cat").await;
        }
        assert_eq!(page["pageInfo"]["hasPreviousPage"], pages > 0);
        seen.extend(nodes.iter().map(|node| text(&node["message"]["id"])));
        (after, pages) = (page["pageInfo"]["endCursor"].clone(), pages + 1);
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (422, 9));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 422, "each once");
    let none = search(&ada, json!({ "query": "cat", "first": 0 })).await.data()["searchMessages"].take();
    assert_eq!((&none["nodes"], &none["pageInfo"]["hasNextPage"]), (&json!([]), &json!(true)));
    server.stop().await;
});

on_both_databases!(deleted_messages_leave_the_index, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let (kept, gone) = (say(&ada, "cat kept").await, say(&ada, "cat gone").await);
    ada.talk(&gone, "another cat").await;
    ada.mutate("deleteChat", "chatId", json!({ "chatId": gone })).await.data();
    assert_eq!(found(&ada, json!({ "query": "cat" })).await, ["cat kept"], "hidden at once");
    let rows = rows(&database).await;
    wait_until(&rows, "SELECT COUNT(*) FROM message_search", 1).await;
    if database.url().starts_with("sqlite") {
        let left = "SELECT COUNT(*) FROM message_words WHERE message_words MATCH ";
        assert_eq!((count(&rows, &format!("{left}'cat'")).await, count(&rows, &format!("{left}'gone'")).await), (1, 0));
        rows.execute_unprepared("INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 1)")
            .await
            .unwrap();
    }
    // A streaming reply is found when it has ended.
    let sent = ada.send(json!({ "chatId": kept, "content": "cat?", "modelId": "demo/slow" })).await;
    ada.has_written(&sent.reply, 20).await;
    let written = text(&ada.message(&sent.reply, "content").await["content"]);
    let word = written.split_whitespace().next().unwrap().to_owned();
    let query = json!({ "query": word, "filter": { "chatId": kept } });
    let ids = async || {
        let found = search(&ada, query.clone()).await.data()["searchMessages"]["nodes"].take();
        found.as_array().unwrap().iter().map(|node| text(&node["message"]["id"])).collect::<Vec<_>>()
    };
    assert!(!ids().await.contains(&sent.reply));
    ada.mutate("stopReply", "message { id }", json!({ "messageId": sent.reply })).await.data();
    ada.ended(&sent.reply).await;
    assert!(ids().await.contains(&sent.reply), "{word}");
    server.stop().await;
    rows.close().await.unwrap();
});

on_both_databases!(every_version_is_found_until_it_is_deleted, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = say(&ada, "otter greeting").await;
    let sent = ada.send(json!({ "chatId": chat, "content": "otter question", "modelId": "demo/fast" })).await;
    ada.ended(&sent.reply).await;
    let input = json!({ "messageId": sent.reply, "modelId": "demo/fast" });
    let again = ada.mutate("regenerateReply", "reply { id }", input).await.data();
    let again = text(&again["regenerateReply"]["reply"]["id"]);
    ada.ended(&again).await;
    let input = json!({ "messageId": sent.message, "content": "otter edited", "modelId": "demo/fast" });
    let edited = ada.mutate("editMessage", "message { id } reply { id }", input).await.data();
    let edited = ["message", "reply"].map(|field| text(&edited["editMessage"][field]["id"]));
    ada.ended(&edited[1]).await;
    let input = json!({ "messageId": sent.reply, "content": "otter reply" });
    let corrected = ada.mutate("editMessage", "message { id }", input).await.data();
    let corrected = text(&corrected["editMessage"]["message"]["id"]);

    let reply = text(&ada.message(&again, "content").await["content"]);
    let word = reply.split(|letter: char| !letter.is_ascii_alphabetic()).max_by_key(|word| word.len()).unwrap();
    let ids = async |query: &str| {
        let found = search(&ada, json!({ "query": query })).await.data()["searchMessages"]["nodes"].take();
        found.as_array().unwrap().iter().map(|node| text(&node["message"]["id"])).collect::<Vec<_>>()
    };
    let (texts, replies) = ([sent.message.clone(), corrected], [sent.reply, again]);
    let (with_otter, with_word) = (ids("otter").await, ids(word).await);
    assert!(texts.iter().chain([&edited[0]]).all(|id| with_otter.contains(id)), "{with_otter:?}");
    assert!(replies.iter().all(|id| with_word.contains(id)), "{word}: {with_word:?}");
    ada.mutate("deleteMessage", "messageId", json!({ "messageId": sent.message })).await.data();
    let (with_otter, with_word) = (ids("otter").await, ids(word).await);
    assert!(with_otter.contains(&edited[0]) && with_otter.len() >= 2, "{with_otter:?}");
    assert!(texts.iter().chain(&replies).all(|id| !with_otter.contains(id) && !with_word.contains(id)));
    server.stop().await;
});

on_both_databases!(old_messages_are_indexed_in_the_background, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let character = greeter(&ada, "cat old").await;
    let create = format!("createChat(input: {{ characterId: \"{character}\" }}) {{ chat {{ id }} }}");
    let twenty: String = (0..20).map(|number| format!("a{number}: {create} ")).collect();
    for _ in 0..11 {
        ada.data(&format!("mutation {{ {twenty} }}"), json!({})).await;
    }
    let newest = say(&ada, "cat newest of the old").await;
    server.stop().await;

    // As the migration leaves a database with messages.
    let rows = rows(&database).await;
    let all = match database.url().starts_with("postgres") {
        true => "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        false => "x'ffffffffffffffffffffffffffffffff'",
    };
    rows.execute_unprepared("DELETE FROM message_search").await.unwrap();
    assert_eq!(count(&rows, "SELECT COUNT(*) FROM message_search_backfill").await, 0, "nothing was left to do");
    rows.execute_unprepared(&format!("INSERT INTO message_search_backfill VALUES ({all})")).await.unwrap();
    let server = Setup::new(&database).with("JWT_SECRET", "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me").start().await;
    let ada = crate::support::staff::log_in(&server.client(), "ada").await;
    say(&ada, "cat new").await;
    wait_until(&rows, "SELECT COUNT(*) FROM message_search_backfill", 0).await;
    assert_eq!(count(&rows, "SELECT COUNT(*) FROM message_search").await, 222);
    let page = search(&ada, json!({ "query": "cat", "first": 2 })).await.data()["searchMessages"].take();
    assert_eq!(page["nodes"][0]["message"]["content"], "cat new", "as good as the old ones, and newer");
    let found = found(&ada, json!({ "query": "newest", "filter": { "chatId": newest } })).await;
    assert_eq!(found, ["cat newest of the old"]);
    server.stop().await;
    rows.close().await.unwrap();
});

/// Measures requests against 100,000 messages of one user: `cargo test --release --test it -- --ignored --nocapture
/// searches_stay_fast`.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
async fn measure(database: TestDatabase) {
    use duologue::domain::chats::message;
    use duologue::domain::search::index;
    use duologue::entity::enums::MessageRole;
    use duologue::entity::ids::{ChatId, MessageId};
    use duologue::storage::{Database, messages};

    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chats = [ada.new_chat(json!({})).await, ada.new_chat(json!({})).await];
    let rows = Database::connect(database.url(), 2).await.unwrap();
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    for batch in 0..200_u128 {
        let row = |number: u128| {
            let number = batch * 500 + number;
            let chat: ChatId = chats[usize::from(number.is_multiple_of(100))].parse().unwrap();
            let id = MessageId(uuid::Uuid::from_u128((0x0193 << 112) | (7 << 76) | (8 << 60) | number));
            let words: String = (0..60).map(|word| format!("w{} ", (number * 7 + word * word * 13) % 5_000)).collect();
            let rare = if number % 10_000 == 77 { "rare" } else { "" };
            message(id, chat, MessageRole::User, &format!("common {words}{rare}"), None, now)
        };
        let new: Vec<_> = (0..500).map(row).collect();
        let transaction = rows.begin().await.unwrap();
        messages::insert(&transaction, &new).await.unwrap();
        index(&transaction, &new).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let document = "query($query: String!, $filter: MessageFilter) {
        searchMessages(query: $query, filter: $filter) { nodes { snippet message { id } } } }";
    for (query, filter) in [
        ("common", json!({})),
        ("rare", json!({})),
        ("common rare", json!({})),
        ("w17", json!({})),
        ("\"common w17\"", json!({})),
        ("nothing", json!({})),
        ("common", json!({ "chatId": chats[1] })),
        ("common", json!({ "to": "2020-01-01T00:00:00Z" })),
    ] {
        let mut times = Vec::new();
        for _ in 0..100 {
            let start = Instant::now();
            ada.data(document, json!({ "query": query, "filter": filter })).await;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("{query:20} {filter:50} p50 {:?} p99 {:?}", times[50], times[98]);
    }
    let start = Instant::now();
    ada.mutate("deleteChat", "chatId", json!({ "chatId": chats[0] })).await.data();
    let connection = self::rows(&database).await;
    let mut slowest = Duration::ZERO;
    while count(&connection, "SELECT COUNT(*) FROM message_search").await > 1_000 && start.elapsed().as_secs() < 120 {
        let write = Instant::now();
        ada.new_chat(json!({})).await;
        slowest = slowest.max(write.elapsed());
    }
    println!("deleted after {:?}, the slowest other write took {slowest:?}", start.elapsed());
    server.kill().await;
}

#[test]
#[ignore = "seeds 100,000 messages and prints times"]
fn searches_stay_fast_sqlite() {
    crate::support::database::run(crate::support::database::Engine::Sqlite, measure);
}

#[test]
#[ignore = "seeds 100,000 messages and prints times"]
fn searches_stay_fast_postgres() {
    crate::support::database::run(crate::support::database::Engine::Postgres, measure);
}
