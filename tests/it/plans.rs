//! Tests that no query scans a whole table, with the query plan of each statement that the storage executes.

use std::sync::Mutex;

use chrono::DateTime;
use duologue::entity::enums::{MessageRole, MessageStatus, Rating, Span};
use duologue::entity::ids::{
    BootId, CharacterId, ChatId, ConversationId, DirectMessageId, MessageId, ToolCallId, UserId,
};
use duologue::entity::message;
use duologue::storage::branches;
use duologue::storage::chats::{self, Filter, Readable};
use duologue::storage::contexts;
use duologue::storage::conversations::{self, ConversationCursor};
use duologue::storage::direct_messages::{self, DirectMessageCursor, MessagesQuery};
use duologue::storage::messages;
use duologue::storage::migrations::{Step, run};
use duologue::storage::page::Window;
use duologue::storage::quotas;
use duologue::storage::reply_chunks;
use duologue::storage::search;
use duologue::storage::statistics::{self, Buckets, GroupBy, TimeRange};
use duologue::storage::subtrees;
use duologue::storage::usage;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::support::database::{TestDatabase, on_both_databases};

const NOW: &str = "'2026-11-01T00:00:00+00:00'";

/// A connection that checks the query plan of each statement before it executes the statement.
struct Explained {
    db: DatabaseConnection,
    scans: Mutex<Vec<String>>,
}

impl Explained {
    async fn connect(database: &TestDatabase) -> Self {
        run(database.url(), Step::Up(None)).await.unwrap();
        let mut options = ConnectOptions::new(database.url());
        options.max_connections(1);
        let db = Database::connect(options).await.unwrap();
        fill(&db).await;
        Self { db, scans: Mutex::default() }
    }

    async fn explain(&self, statement: &Statement) {
        // SQLite visits every row that refers to a key that is set. No plan shows it.
        let set = statement.sql.split_once(" SET ").map_or("", |(_, rest)| rest.split(" WHERE ").next().unwrap());
        if statement.sql.starts_with("UPDATE") && set.split(", ").any(|column| column.starts_with("\"id\" =")) {
            self.scans.lock().unwrap().push(statement.sql.clone());
        }
        let backend = self.get_database_backend();
        let explained = |sql: String| Statement::from_string(backend, sql);
        let rows = if backend == DbBackend::Sqlite {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
            let values = statement.values.clone().unwrap_or(sea_orm::sea_query::Values(Vec::new()));
            self.db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await.unwrap()
        } else {
            self.db.execute_unprepared(&format!("PREPARE explained AS {}", statement.sql)).await.unwrap();
            let count = statement.values.as_ref().map_or(0, |values| values.0.len());
            let arguments = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
            let rows = self.db.query_all_raw(explained(format!("EXPLAIN EXECUTE explained{arguments}"))).await.unwrap();
            self.db.execute_unprepared("DEALLOCATE explained").await.unwrap();
            rows
        };
        let column = if backend == DbBackend::Sqlite { "detail" } else { "QUERY PLAN" };
        let lines: Vec<String> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
        if lines.iter().enumerate().any(|(place, line)| is_scan(line, lines.get(place + 1))) {
            self.scans.lock().unwrap().push(format!("{}\n{}", statement.sql, lines.join("\n")));
        }
    }

    /// Asserts that no statement since the last call scanned a whole table, or an index without a condition.
    fn assert_no_scan(&self, what: &str) {
        let scans = std::mem::take(&mut *self.scans.lock().unwrap());
        assert!(scans.is_empty(), "{what} scans a table or an index:\n{}", scans.join("\n\n"));
    }
}

/// Inserts 20,000 messages in 1,000 chats of 20 owners, enough for PostgreSQL's planner to prefer indexes.
async fn fill(db: &DatabaseConnection) {
    let is_sqlite = db.get_database_backend() == DbBackend::Sqlite;
    let key = |number: &str| match is_sqlite {
        true => format!("unhex(printf('%032x', {number}))"),
        false => format!("CAST(lpad(to_hex({number}), 32, '0') AS UUID)"),
    };
    let numbers = |name: &str, to: u32| {
        format!(
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to}) SELECT i FROM n) {name}"
        )
    };
    let (first, last) = match is_sqlite {
        true => ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"),
        // Generic plans, like those of prepared statements.
        false => ("SET session_replication_role = replica", "ANALYZE; SET plan_cache_mode = force_generic_plan"),
    };
    let (chat, owner) = (key("1000 + c.i"), key("c.i % 20"));
    let chats = format!(
        "INSERT INTO chats (id, owner_id, title, title_key, model_id, is_pinned, is_archived, message_count, created_at, \
         updated_at, active_at) SELECT {chat}, {owner}, 'A chat', 'a chat', 'demo', FALSE, FALSE, 20, {NOW}, {NOW}, {NOW} \
         FROM {}",
        numbers("c", 1000),
    );
    let (id, parent) = (key("100000 + c.i * 100 + m.i"), key("100000 + c.i * 100 + m.i - 1"));
    let messages = format!(
        "INSERT INTO messages (id, chat_id, parent_id, depth, jump_id, jump_depth, is_leaf, role, status, body, \
         branch_tokens, is_stop_requested, is_usage_estimate, created_at) \
         SELECT {id}, {chat}, {parent}, m.i, {id}, m.i, m.i = 20, 1, 0, 'Words', 1, FALSE, FALSE, {NOW} FROM {}, {}",
        numbers("c", 1000),
        numbers("m", 20),
    );
    let summaries = format!(
        "INSERT INTO summaries (message_id, content, tokens, created_at) SELECT id, 'Words', 1, {NOW} FROM messages"
    );
    let (conversation, user) = (key("500000 + c.i"), key("c.i % 20"));
    let conversations = format!(
        "INSERT INTO conversations (id, user_id, other_id, message_count, unread_count, active_at) \
         SELECT {conversation}, {user}, {}, 20, 0, {NOW} FROM {}",
        key("1000 + c.i"),
        numbers("c", 1000),
    );
    let time = match is_sqlite {
        true => "printf('2026-11-01T00:00:%02d+00:00', m.i)",
        false => "to_timestamp(m.i)",
    };
    let direct_messages = format!(
        "INSERT INTO direct_messages (id, conversation_id, sender_id, content, created_at) \
         SELECT {}, {conversation}, {user}, 'Words', {time} FROM {}, {}",
        key("600000 + c.i * 100 + m.i"),
        numbers("c", 1000),
        numbers("m", 20),
    );
    let owner_and_chat = match is_sqlite {
        true => "'@' || LOWER(HEX(c.owner_id)) || ' #' || LOWER(HEX(c.id))",
        false => "'@' || REPLACE(CAST(c.owner_id AS text), '-', '') || ' #' || REPLACE(CAST(c.id AS text), '-', '')",
    };
    let search = format!(
        "INSERT INTO message_search (message_id, owner_id, created_at, words) SELECT m.id, c.owner_id, \
         m.created_at, {owner_and_chat} || ' words' FROM messages m JOIN chats c ON c.id = m.chat_id"
    );
    let entries = format!(
        "INSERT INTO usage_ledger (id, kind, user_id, model_id, started_at, input_tokens, cached_input_tokens, \
         output_tokens, is_estimate, outcome) SELECT {id}, 0, {}, 'demo', {NOW}, 1, 0, 1, FALSE, 0 FROM {}, {}",
        key("c.i"),
        numbers("c", 1000),
        numbers("m", 20),
    );
    let totals = format!(
        "INSERT INTO usage_totals (dimension, span, start, user_id, model_id, character_id, reply_count, \
         failed_reply_count, input_tokens, output_tokens, cost_nanodollars) \
         SELECT m.i % 3, c.i % 3, 490000 + c.i, {}, 'demo', {}, 1, 0, 1, 1, 1 FROM {}, {}",
        key("m.i"),
        key("0"),
        numbers("c", 1000),
        numbers("m", 60),
    );
    let rows = [&chats, &messages, &summaries, &conversations, &direct_messages, &entries, &totals, &search];
    for statement in [first].into_iter().chain(rows.map(String::as_str)).chain([last]) {
        db.execute_unprepared(statement).await.unwrap();
    }
}

/// Whether a line of a plan scans a whole table that grows, a whole chat, or an index without a condition.
fn is_scan(line: &str, next: Option<&String>) -> bool {
    const GROWING: [&str; 13] = [
        "messages",
        "message_search",
        "chats",
        "summaries",
        "conversations",
        "direct_messages",
        "usage_ledger",
        "usage_totals",
        "m",
        "c",
        "s",
        "l",
        "jump",
    ];
    const PARTIAL: [&str; 3] = ["messages_running", "messages_streaming", "chats_deleted"];
    let line = line.trim().trim_start_matches("->").trim();
    // Reads all messages of a chat.
    if line.contains("USING INDEX messages_by_depth (chat_id=?)") {
        return true;
    }
    if PARTIAL.iter().any(|index| line.contains(index)) {
        return false;
    }
    let scanned = line.strip_prefix("SCAN ").or_else(|| line.strip_prefix("Seq Scan on "));
    let scanned = scanned.and_then(|rest| rest.split_whitespace().next());
    let is_index = line.starts_with("Index Scan") || line.starts_with("Index Only Scan");
    scanned.is_some_and(|table| GROWING.contains(&table))
        || (is_index && !next.is_some_and(|next| next.trim().starts_with("Index Cond")))
}

#[async_trait]
impl ConnectionTrait for Explained {
    fn get_database_backend(&self) -> DbBackend {
        self.db.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.explain(&statement).await;
        self.db.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.db.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.explain(&statement).await;
        self.db.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.explain(&statement).await;
        self.db.query_all_raw(statement).await
    }
}

fn reply(boot: BootId) -> message::Model {
    let id = MessageId(uuid(1));
    message::Model {
        id,
        chat_id: ChatId(uuid(2)),
        parent_id: None,
        depth: 3,
        jump_id: id,
        jump_depth: 0,
        is_leaf: true,
        role: MessageRole::Assistant,
        status: MessageStatus::Complete,
        body: String::new(),
        layout: None,
        branch_tokens: 0,
        checkpoint_id: None,
        token_ratio: 1_000,
        idempotency_key: None,
        boot_id: Some(boot),
        is_stop_requested: false,
        model_id: None,
        finish_reason: None,
        error_code: None,
        input_tokens: None,
        output_tokens: None,
        cached_input_tokens: None,
        is_usage_estimate: false,
        cost_nanodollars: None,
        time_to_first_token_ms: None,
        duration_ms: None,
        rating: None,
        created_at: DateTime::UNIX_EPOCH,
        completed_at: None,
    }
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

on_both_databases!(messages_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, boot) = (UserId(uuid(3)), BootId(uuid(4)));
    let message = reply(boot);
    let (id, chat) = (message.id, message.chat_id);
    for readable in [Readable::Of(owner), Readable::All] {
        messages::find_all(db, readable, &[id, MessageId(uuid(5))]).await.unwrap();
        db.assert_no_scan("find_all");
        messages::find_within(db, readable, &[id, MessageId(uuid(5))], 1_000).await.unwrap();
        db.assert_no_scan("find_within");
        branches::depths(db, readable, &[id, MessageId(uuid(5))]).await.unwrap();
        db.assert_no_scan("depths");
        messages::children(db, readable, &[id, MessageId(uuid(5))], 50, 1_000).await.unwrap();
        db.assert_no_scan("children");
        messages::roots(db, readable, &[chat, ChatId(uuid(5))], 50, 1_000).await.unwrap();
        db.assert_no_scan("roots");
    }
    messages::find(db, owner, id).await.unwrap();
    db.assert_no_scan("find");
    messages::find_by_calls(db, owner, &[ToolCallId(uuid(6)), ToolCallId(uuid(7))], 1_000).await.unwrap();
    db.assert_no_scan("find_by_calls");
    messages::branch(db, id, 0, 3).await.unwrap();
    db.assert_no_scan("branch");
    let part = branches::BranchPart { below: id, from: 0, to: 3 };
    branches::branches(db, &[part, part], 1_000).await.unwrap();
    db.assert_no_scan("branches");
    branches::ancestors(db, &[(id, 0), (MessageId(uuid(5)), 1)]).await.unwrap();
    db.assert_no_scan("ancestors");
    branches::newest_leaves_below(db, &[id, MessageId(uuid(5))]).await.unwrap();
    db.assert_no_scan("newest_leaves_below");
    branches::jump(db, id).await.unwrap();
    db.assert_no_scan("jump");
    for parent in [None, Some((id, 3))] {
        branches::newest_leaf_below_children(db, chat, parent).await.unwrap();
        db.assert_no_scan("newest_leaf_below_children");
    }
    messages::mark_followed(db, id).await.unwrap();
    db.assert_no_scan("mark_followed");
    messages::rate(db, owner, id, Some(Rating::Up)).await.unwrap();
    db.assert_no_scan("rate");
    messages::streaming_in(db, chat).await.unwrap();
    db.assert_no_scan("streaming_in");
    messages::finish(db, Some(boot), &message).await.unwrap();
    db.assert_no_scan("finish");
    messages::request_stop(db, id).await.unwrap();
    db.assert_no_scan("request_stop");
    messages::request_stop_in(db, chat).await.unwrap();
    db.assert_no_scan("request_stop_in");
    messages::request_stop_of(db, owner).await.unwrap();
    db.assert_no_scan("request_stop_of");
    messages::find_any_of(db, &[id]).await.unwrap();
    db.assert_no_scan("find_any_of");
    messages::stop_requests(db, boot).await.unwrap();
    db.assert_no_scan("stop_requests");
    messages::lock_owned(db, boot, &[id]).await.unwrap();
    db.assert_no_scan("lock_owned");
    for owner in [None, Some(boot)] {
        for after in [None, Some(id)] {
            messages::find_running(db, owner, after, 100).await.unwrap();
            db.assert_no_scan("find_running");
        }
    }
    reply_chunks::after(db, id, 0).await.unwrap();
    db.assert_no_scan("after");
    reply_chunks::of_all(db, &[id]).await.unwrap();
    db.assert_no_scan("of_all");
    reply_chunks::delete(db, &[id]).await.unwrap();
    db.assert_no_scan("delete");
    messages::running_owners(db).await.unwrap();
    db.assert_no_scan("running_owners");
});

on_both_databases!(prompts_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (id, other) = (MessageId(uuid(1)), MessageId(uuid(5)));
    for readable in [Readable::Of(UserId(uuid(3))), Readable::All] {
        contexts::ends(db, readable, &[id, other]).await.unwrap();
        db.assert_no_scan("ends");
    }
    for checkpoint in [None, Some(other)] {
        contexts::newest(db, id, 3, checkpoint, 1_000).await.unwrap();
        db.assert_no_scan("newest");
    }
    contexts::first_reaching(db, &[(id, 3), (other, 4)]).await.unwrap();
    db.assert_no_scan("first_reaching");
    contexts::checkpoint(db, id).await.unwrap();
    db.assert_no_scan("checkpoint");
    contexts::checkpoint_sizes(db, &[id, other]).await.unwrap();
    db.assert_no_scan("checkpoint_sizes");
    contexts::set_checkpoint(db, other, id, 100).await.unwrap();
    db.assert_no_scan("set_checkpoint");
});

on_both_databases!(subtrees_are_moved_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (id, chat, other) = (MessageId(uuid(200_105)), ChatId(uuid(2_001)), ChatId(uuid(2_002)));
    subtrees::below(db, chat, &[id, MessageId(uuid(5))], 100).await.unwrap();
    db.assert_no_scan("below");
    for after in [None, Some((3, id))] {
        subtrees::by_depth(db, chat, after, 100).await.unwrap();
        db.assert_no_scan("by_depth");
    }
    subtrees::chat_of_children(db, chat, &[id, MessageId(uuid(5))]).await.unwrap();
    db.assert_no_scan("chat_of_children");
    subtrees::mark_leaf(db, chat, id).await.unwrap();
    db.assert_no_scan("mark_leaf");
    subtrees::move_to(db, other, &[id]).await.unwrap();
    db.assert_no_scan("move_to");
});

on_both_databases!(usage_is_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let user = UserId(uuid(3));
    let at = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap();
    let range = TimeRange { from: Some(at("2026-10-31T22:30:00Z")), to: Some(at("2026-12-02T01:10:00Z")) };
    statistics::sums(db, range).await.unwrap();
    db.assert_no_scan("sums");
    statistics::created(db, range).await.unwrap();
    db.assert_no_scan("created");
    statistics::active_users(db, range).await.unwrap();
    db.assert_no_scan("active_users");
    statistics::running_replies(db).await.unwrap();
    db.assert_no_scan("running_replies");
    statistics::owned(db, &[user, UserId(uuid(5))]).await.unwrap();
    db.assert_no_scan("owned");
    statistics::sums_of(db, &[user, UserId(uuid(5))]).await.unwrap();
    db.assert_no_scan("sums_of");
    let buckets = Buckets { span: Span::Hour, numbers: 490_100..490_130 };
    for of in [None, Some(user)] {
        statistics::series(db, &buckets, of).await.unwrap();
        db.assert_no_scan("series");
        let parts = range.parts();
        statistics::top::<UserId>(db, &parts, GroupBy::User, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, GroupBy::User, of, &[user]).await.unwrap();
        db.assert_no_scan("users");
        statistics::top::<String>(db, &parts, GroupBy::Model, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, GroupBy::Model, of, &["demo".to_owned()]).await.unwrap();
        db.assert_no_scan("models");
        let characters = GroupBy::Character(user);
        statistics::top::<CharacterId>(db, &parts, characters, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, characters, of, &[CharacterId(uuid(1))]).await.unwrap();
        db.assert_no_scan("characters");
    }
    quotas::limits(db, &[user]).await.unwrap();
    quotas::used(db, &[user], 24_323).await.unwrap();
    quotas::used_and_reserved(db, user, 24_323).await.unwrap();
    quotas::release(db, &[MessageId(uuid(1))]).await.unwrap();
    db.assert_no_scan("quotas");
    usage::anonymize(db, user, 10).await.unwrap();
    db.assert_no_scan("anonymize");
});

on_both_databases!(chats_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, chat) = (UserId(uuid(3)), ChatId(uuid(2)));
    chats::find(db, owner, chat).await.unwrap();
    db.assert_no_scan("find");
    chats::lock_all(db, &[chat, ChatId(uuid(5))]).await.unwrap();
    chats::touch(db, &[chat, ChatId(uuid(5))], DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("touch");
    chats::lock(db, owner, chat).await.unwrap();
    db.assert_no_scan("lock");
    chats::lock_of_message(db, owner, MessageId(uuid(1))).await.unwrap();
    db.assert_no_scan("lock_of_message");
    chats::lock_any(db, chat).await.unwrap();
    db.assert_no_scan("lock_any");
    chats::find_all(db, Readable::Of(owner), &[chat, ChatId(uuid(5))]).await.unwrap();
    db.assert_no_scan("find_all");
    let place = chats::ChatCursor { active_at: DateTime::UNIX_EPOCH, id: chat };
    for after in [None, Some(place)] {
        let window = Window { after, before: None, limit: 20, from_end: false };
        chats::page(db, Readable::Of(owner), &Filter::default(), window).await.unwrap();
        db.assert_no_scan("page");
    }
    chats::count(db, Readable::Of(owner), &Filter::default()).await.unwrap();
    db.assert_no_scan("count");
    chats::set_excerpt(db, chat, "One", DateTime::UNIX_EPOCH).await.unwrap();
    chats::claim_title(db, chat).await.unwrap();
    db.assert_no_scan("titles");
    chats::mark_all_deleted(db, owner, DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("mark_all_deleted");
    chats::find_deleted(db, Some(chat)).await.unwrap();
    db.assert_no_scan("find_deleted");
    chats::sweep(db, chat, 100).await.unwrap();
    db.assert_no_scan("sweep");
});

on_both_databases!(conversations_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (user, other, id) = (UserId(uuid(3)), UserId(uuid(1_003)), ConversationId(uuid(2)));
    conversations::find_all(db, user, &[id, ConversationId(uuid(5))]).await.unwrap();
    db.assert_no_scan("find_all");
    conversations::find_with(db, user, other).await.unwrap();
    db.assert_no_scan("find_with");
    for after in [None, Some(ConversationCursor { active_at: DateTime::UNIX_EPOCH, id })] {
        conversations::page(db, user, Window { after, before: None, limit: 20, from_end: false }).await.unwrap();
        db.assert_no_scan("page");
    }
    conversations::count(db, user).await.unwrap();
    db.assert_no_scan("count");
    conversations::lock(db, id).await.unwrap();
    db.assert_no_scan("lock");
    conversations::lock_between(db, user, other).await.unwrap();
    db.assert_no_scan("lock_between");
    conversations::find_any(db, user).await.unwrap();
    db.assert_no_scan("find_any");
    conversations::delete(db, id, user).await.unwrap();
    db.assert_no_scan("delete");
});

on_both_databases!(direct_messages_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (user, id, message) = (UserId(uuid(3)), ConversationId(uuid(2)), DirectMessageId(uuid(6)));
    direct_messages::find_all(db, user, &[message, DirectMessageId(uuid(7))], 1_000).await.unwrap();
    db.assert_no_scan("find_all");
    let cursor = Some(DirectMessageCursor { at: DateTime::UNIX_EPOCH });
    for (after, before, from_end) in [(None, None, true), (cursor, None, false), (None, cursor, true)] {
        let window = Window { after, before, limit: 20, from_end };
        let query = MessagesQuery { conversation_id: id, window };
        direct_messages::pages(db, user, &[query.clone(), query], 1_000).await.unwrap();
        db.assert_no_scan("pages");
    }
    direct_messages::find_in(db, id, message).await.unwrap();
    db.assert_no_scan("find_in");
    direct_messages::count_after(db, id, user, DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("count_after");
    direct_messages::delete_some(db, id, 100).await.unwrap();
    db.assert_no_scan("delete_some");
});

on_both_databases!(searches_use_the_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, chat) = (UserId(uuid(3)), ChatId(uuid(1_003)));
    let filter = search::Filter {
        owner_id: owner,
        phrases: vec![vec!["words".to_owned()], vec!["two".to_owned(), "words".to_owned()]],
        chat_id: None,
        character_id: None,
        from: None,
        to: None,
    };
    let narrow = search::Filter {
        phrases: vec![vec!["words".to_owned()]],
        chat_id: Some(chat),
        character_id: Some(CharacterId(uuid(7))),
        from: Some(DateTime::UNIX_EPOCH),
        to: Some(DateTime::UNIX_EPOCH),
        ..filter.clone()
    };
    let all = search::Filter { phrases: narrow.phrases.clone(), ..filter.clone() };
    for (filter, wanted) in [(&filter, 0), (&narrow, 0), (&all, 201)] {
        let found = search::find(db, filter, i64::MAX, 201).await.unwrap();
        assert_eq!(found.len(), wanted);
        assert!(found.is_sorted_by(|newer, older| newer.key > older.key));
        db.assert_no_scan("find");
    }
    search::insert_older(db, Vec::new()).await.unwrap();
    db.assert_no_scan("insert_older");
    search::messages_before(db, MessageId(uuid::Uuid::max()), 100, 1_000).await.unwrap();
    db.assert_no_scan("messages_before");
});
