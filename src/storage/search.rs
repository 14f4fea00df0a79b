//! The full-text index of messages. The words of a message come from `domain::search` and are stored as they are, so
//! that both databases find the same messages. The first two words of a document are its owner and its chat. No word of
//! a text begins with `@` or `#`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{DbBackend, FromQueryResult, Statement};

use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use crate::entity::message;
use crate::storage::messages::SIZE;

/// The maximum number of characters of a document that are returned for ranking.
const RANKED: usize = 20_000;
/// The newest messages of a user in which PostgreSQL searches before it uses the index. The index returns all matches
/// of a user, which is slow for a word that many messages contain; such a word is in these messages often enough.
const RECENT: u64 = 1_000;

/// The indexed words of a message.
#[derive(Debug, Clone)]
pub struct Document {
    /// The message.
    pub message_id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// When the message was created.
    pub created_at: DateTime<Utc>,
    /// Its words, separated by spaces.
    pub words: String,
}

/// The messages that are searched.
#[derive(Debug, Clone)]
pub struct Filter {
    /// In chats of this user.
    pub owner_id: UserId,
    /// Sequences of words, all of which the message contains.
    pub phrases: Vec<Vec<String>>,
    /// In this chat.
    pub chat_id: Option<ChatId>,
    /// In chats with this character.
    pub character_id: Option<CharacterId>,
    /// Created at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub to: Option<DateTime<Utc>>,
}

/// A message that matches.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Match {
    /// The place of the message in the index. Newer messages have greater keys.
    pub key: i64,
    /// The message.
    pub message_id: MessageId,
    /// The beginning of the document: owner, chat, and words, separated by spaces.
    pub words: String,
}

/// Adds messages to the index. Those that it contains already are left unchanged.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn insert(db: &impl ConnectionTrait, documents: Vec<Document>) -> Result<(), DbErr> {
    insert_at(db, None, documents).await
}

/// Adds messages that are older than all messages in the index, newest first.
pub async fn insert_older(db: &impl ConnectionTrait, documents: Vec<Document>) -> Result<(), DbErr> {
    let least = Statement::from_string(db.get_database_backend(), "SELECT MIN(key) AS key FROM message_search");
    let least = db.query_one_raw(least).await?.map(|row| row.try_get::<Option<i64>>("", "key")).transpose()?;
    insert_at(db, Some(least.flatten().unwrap_or(1).min(1) - 1), documents).await
}

/// `first` is the key of the first document; the keys of the others follow downwards. If none, the database generates
/// keys, which are positive.
async fn insert_at(db: &impl ConnectionTrait, first: Option<i64>, documents: Vec<Document>) -> Result<(), DbErr> {
    let (owner, chat) = (hexadecimal(db, "c.owner_id"), hexadecimal(db, "c.id"));
    let (column, key) = if first.is_some() { ("key, ", "$5, ") } else { ("", "") };
    let sql = format!(
        "INSERT INTO message_search ({column}message_id, owner_id, created_at, words) \
         SELECT {key}$1, c.owner_id, $2, '@' || {owner} || ' #' || {chat} || $3 FROM chats c WHERE c.id = $4 \
         ON CONFLICT (message_id) DO NOTHING"
    );
    for (place, document) in (0..).zip(documents) {
        let mut words = document.words;
        if !words.is_empty() {
            words.insert(0, ' ');
        }
        let mut values: Vec<Value> =
            vec![document.message_id.into(), document.created_at.into(), words.into(), document.chat_id.into()];
        values.extend(first.map(|first| Value::from(first - place)));
        db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), &sql, values)).await?;
    }
    Ok(())
}

/// The newest `limit` matches up to the key `up_to`, newest first.
pub async fn find(db: &impl ConnectionTrait, filter: &Filter, up_to: i64, limit: u64) -> Result<Vec<Match>, DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Search::new(db, filter).sqlite(up_to, limit).await;
    }
    let recent = Search::new(db, filter).postgres_recent(up_to, limit).await?;
    if recent.len() as u64 >= limit {
        return Ok(recent);
    }
    Search::new(db, filter).postgres_indexed(up_to, limit).await
}

/// A statement with its values.
struct Search<'a, C> {
    db: &'a C,
    filter: &'a Filter,
    values: Vec<Value>,
}

impl<'a, C: ConnectionTrait> Search<'a, C> {
    fn new(db: &'a C, filter: &'a Filter) -> Self {
        Self { db, filter, values: Vec::new() }
    }

    /// Binds a value, and returns its placeholder.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// FTS5 reads the matches of all words in the order of their keys, and stops after the first `limit`.
    async fn sqlite(mut self, up_to: i64, limit: u64) -> Result<Vec<Match>, DbErr> {
        let quoted = self.filter.phrases.iter().map(|phrase| phrase.join(" "));
        let terms: Vec<String> = self.scope().into_iter().chain(quoted).map(|term| format!("\"{term}\"")).collect();
        let (terms, up_to) = (self.bind(terms.join(" AND ")), self.bind(up_to));
        let (times, readable) = (self.times(), self.readable());
        let sql = format!(
            "SELECT s.key, s.message_id, SUBSTR(s.words, 1, {RANKED}) AS words FROM message_words \
             CROSS JOIN message_search s ON s.key = message_words.rowid \
             WHERE message_words MATCH {terms} AND message_words.rowid <= {up_to} {times} AND {readable} \
             ORDER BY message_words.rowid DESC LIMIT {limit}"
        );
        self.run(sql).await
    }

    /// The matches among the newest messages of the owner. The planner does not know the value of the subquery, and
    /// therefore assumes that the limit is a tenth of the owner's messages and reads the index in order. With the
    /// number and a low estimate of the owner's messages, it reads and sorts all of them.
    async fn postgres_recent(mut self, up_to: i64, limit: u64) -> Result<Vec<Match>, DbErr> {
        let (owner, up_to) = (self.bind(self.filter.owner_id), self.bind(up_to));
        let (phrases, times, readable) = (self.contained(1), self.times(), self.readable());
        let sql = format!(
            "SELECT s.key, s.message_id, SUBSTR(s.words, 1, {RANKED}) AS words FROM (SELECT * FROM message_search \
             WHERE owner_id = {owner} AND key <= {up_to} ORDER BY key DESC LIMIT (SELECT {RECENT})) AS s \
             WHERE {readable} {phrases} {times} ORDER BY s.key DESC LIMIT {limit}"
        );
        self.run(sql).await
    }

    /// The matches by the index, which contains single words. Sorted before their chats are read, of which only the
    /// first `limit` are needed.
    async fn postgres_indexed(mut self, up_to: i64, limit: u64) -> Result<Vec<Match>, DbErr> {
        let words = self.filter.phrases.iter().flatten().cloned();
        let terms: Vec<String> = self.scope().into_iter().chain(words).map(|term| format!("'{term}'")).collect();
        let (terms, up_to) = (self.bind(terms.join(" & ")), self.bind(up_to));
        let (phrases, times, readable) = (self.contained(2), self.times(), self.readable());
        let sql = format!(
            "WITH found AS MATERIALIZED (SELECT s.key, s.message_id FROM message_search s \
             WHERE ARRAY_TO_TSVECTOR(STRING_TO_ARRAY(s.words, ' ')) @@ CAST({terms} AS tsquery) AND s.key <= {up_to} \
             {phrases} {times}), newest AS (SELECT s.key FROM (SELECT * FROM found ORDER BY key DESC) AS s \
             WHERE {readable} ORDER BY s.key DESC LIMIT {limit}) \
             SELECT d.key, d.message_id, SUBSTR(d.words, 1, {RANKED}) AS words FROM newest \
             JOIN message_search d ON d.key = newest.key ORDER BY d.key DESC"
        );
        self.run(sql).await
    }

    /// The words that name the owner and the chat.
    fn scope(&self) -> Vec<String> {
        let owner = format!("@{}", self.filter.owner_id.0.simple());
        std::iter::once(owner).chain(self.filter.chat_id.map(|chat| format!("#{}", chat.0.simple()))).collect()
    }

    /// The condition that the document contains each phrase of at least `length` words. Words have no special
    /// characters of `LIKE`.
    fn contained(&mut self, length: usize) -> String {
        let phrases = self.filter.phrases.iter().filter(|phrase| phrase.len() >= length);
        let patterns: Vec<String> = phrases.map(|phrase| format!("% {} %", phrase.join(" "))).collect();
        patterns.into_iter().map(|pattern| format!(" AND s.words || ' ' LIKE {}", self.bind(pattern))).collect()
    }

    fn times(&mut self) -> String {
        let from = self.filter.from.map(|from| format!(" AND s.created_at >= {}", self.bind(from)));
        let to = self.filter.to.map(|to| format!(" AND s.created_at < {}", self.bind(to)));
        from.into_iter().chain(to).collect()
    }

    /// The condition that the message is in a chat of the owner that is not deleted. The chat is read from the message,
    /// which a deletion moves to another chat. A scalar subquery, which is evaluated last, and by key.
    fn readable(&mut self) -> String {
        let owner = self.bind(self.filter.owner_id);
        let chat = match self.filter.chat_id {
            Some(chat) => format!(" AND c.id = {}", self.bind(chat)),
            None => String::new(),
        };
        let character = match self.filter.character_id {
            Some(character) => format!(" AND c.character_id = {}", self.bind(character)),
            None => String::new(),
        };
        format!(
            "(SELECT c.owner_id FROM messages m JOIN chats c ON c.id = m.chat_id WHERE m.id = s.message_id \
             AND c.deleted_at IS NULL{chat}{character}) = {owner}"
        )
    }

    async fn run(self, sql: String) -> Result<Vec<Match>, DbErr> {
        let statement = Statement::from_sql_and_values(self.db.get_database_backend(), sql, self.values);
        Match::find_by_statement(statement).all(self.db).await
    }
}

/// The id below which messages may not be in the index, locked until the transaction ends. None if all are.
pub async fn lock_backfill(db: &impl ConnectionTrait) -> Result<Option<MessageId>, DbErr> {
    let lock = if db.get_database_backend() == DbBackend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT before_id FROM message_search_backfill {lock}");
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.map(|row| row.try_get("", "before_id").map(MessageId)).transpose()
}

/// Records that all messages from this id on are in the index, or all messages if none.
pub async fn set_backfill(db: &impl ConnectionTrait, before: Option<MessageId>) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let statement = match before {
        Some(id) => {
            Statement::from_sql_and_values(backend, "UPDATE message_search_backfill SET before_id = $1", [id.into()])
        }
        None => Statement::from_string(backend, "DELETE FROM message_search_backfill"),
    };
    db.execute_raw(statement).await.map(drop)
}

/// Up to `limit` messages below an id, newest first, until they exceed `max_bytes` together.
pub async fn messages_before(
    db: &impl ConnectionTrait,
    id: MessageId,
    limit: u64,
    max_bytes: u64,
) -> Result<Vec<message::Model>, DbErr> {
    let sql = format!(
        "SELECT m.* FROM (SELECT id, size, SUM(size) OVER (ORDER BY id DESC) AS total FROM (SELECT m.id, {SIZE} AS size \
         FROM messages m WHERE m.id < $1 ORDER BY m.id DESC LIMIT {limit}) AS picked) AS summed \
         JOIN messages m ON m.id = summed.id WHERE summed.total - summed.size <= {max_bytes} ORDER BY m.id DESC"
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [id.into()]);
    message::Model::find_by_statement(statement).all(db).await
}

/// An id as 32 hexadecimal digits.
fn hexadecimal(db: &impl ConnectionTrait, column: &str) -> String {
    match db.get_database_backend() {
        DbBackend::Postgres => format!("REPLACE(CAST({column} AS text), '-', '')"),
        _ => format!("LOWER(HEX({column}))"),
    }
}
