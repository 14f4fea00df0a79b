//! A connection that checks the query plan of each statement before it executes the statement.

use std::sync::Mutex;

use duologue::storage::migrations::{Step, run};
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::support::database::TestDatabase;

const NOW: &str = "'2026-11-01T00:00:00+00:00'";

/// A connection that checks the query plan of each statement before it executes the statement.
pub(super) struct Explained {
    db: DatabaseConnection,
    scans: Mutex<Vec<String>>,
}

impl Explained {
    pub(super) async fn connect(database: &TestDatabase) -> Self {
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
            self.scans.lock().unwrap().push(format!("sets a key: {}", statement.sql));
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

    /// Asserts that no statement since the last call scanned a whole table, or an index without a condition, or set a
    /// primary key.
    pub(super) fn assert_no_scan(&self, what: &str) {
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
