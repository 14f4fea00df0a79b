//! The raw server for comparison: the same responses with axum and rusqlite (or axum and reqwest) only, without GraphQL,
//! accounts, limits, logs or crash recovery of streams.
//!
//! Requests that read run their statements on the thread that received them. One thread writes, and commits all waiting
//! inserts together. The tokens of a stream that are ready together are sent together.

mod relay;

use std::cell::RefCell;
use std::mem::replace;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Json, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use chrono::{SecondsFormat, SubsecRound as _, Utc};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, named_params};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::{Failure, Result};

/// The maximum number of inserts in one transaction.
const GROUP: usize = 64;
/// The initial capacity of a response with a page of chats, in bytes.
const PAGE_BYTES: usize = 8 * 1024;

const USERNAME: &str = "SELECT username FROM users WHERE id = ?";
const CHATS: &str = "SELECT c.id, c.title, max(c.updated_at, c.active_at), m.role, m.body \
    FROM chats c LEFT JOIN messages m ON m.id = c.leaf_id \
    WHERE c.owner_id = ? AND c.deleted_at IS NULL ORDER BY c.active_at DESC, c.id DESC LIMIT 20";
const INSERT: &str = "INSERT INTO chats (id, owner_id, title, title_key, model_id, is_pinned, is_archived, \
    message_count, created_at, updated_at, active_at) \
    VALUES (:id, :owner, :title, :key, 'demo', FALSE, FALSE, 0, :now, :now, :now)";

thread_local! {
    /// This thread's read-only connection, with its prepared statements.
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

struct Server {
    database: PathBuf,
    inserts: mpsc::UnboundedSender<Insert>,
    client: reqwest::Client,
    provider: String,
}

/// Serves until the process ends.
pub async fn serve(port: u16, database: &Path, provider: &str) -> Result<()> {
    let writer = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")?;
    let (inserts, waiting) = mpsc::unbounded_channel();
    std::thread::spawn(move || write(writer, waiting));
    let (database, provider) = (database.to_owned(), provider.to_owned());
    let server = Arc::new(Server { database, inserts, client: reqwest::Client::new(), provider });
    let router = axum::Router::new()
        .route("/me", post(me))
        .route("/chats", post(create_chat))
        .route("/stream", get(relay::stream))
        .with_state(server);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

/// Opens the database, with 256 MiB of it mapped into memory and a cache of 64 MiB.
fn open(database: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(database, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.execute_batch("PRAGMA mmap_size = 268435456; PRAGMA cache_size = -65536")?;
    Ok(db)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chat<'a> {
    id: String,
    title: Option<&'a str>,
    updated_at: String,
    last_message: Option<LastMessage<'a>>,
}

#[derive(Serialize)]
struct LastMessage<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Who {
    user: Uuid,
}

async fn me(State(server): State<Arc<Server>>, Json(Who { user }): Json<Who>) -> Result<Response, StatusCode> {
    let page = READER.with_borrow_mut(|reader| {
        let db = match reader {
            Some(db) => db,
            None => reader.insert(open(&server.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?),
        };
        page(db, user)
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], page.map_err(failed)?).into_response())
}

/// The JSON of a user and a page of chats. Each chat is written while SQLite has its row, without a copy of its texts.
fn page(db: &Connection, user: Uuid) -> Result<Vec<u8>> {
    let mut json = Vec::with_capacity(PAGE_BYTES);
    json.extend_from_slice(br#"{"username":"#);
    let mut username = db.prepare_cached(USERNAME)?;
    username.query_row([user], |row| Ok(serde_json::to_writer(&mut json, row.get_ref(0)?.as_str()?)))??;
    json.extend_from_slice(br#","chats":{"nodes":["#);
    let mut chats = db.prepare_cached(CHATS)?;
    let (mut rows, mut is_first) = (chats.query([user])?, true);
    while let Some(row) = rows.next()? {
        if !replace(&mut is_first, false) {
            json.push(b',');
        }
        let role = if row.get_ref(3)?.as_i64_or_null()? == Some(0) { "USER" } else { "ASSISTANT" };
        let chat = Chat {
            id: chat_id(row.get(0)?),
            title: row.get_ref(1)?.as_str_or_null()?,
            updated_at: shown(row.get_ref(2)?.as_str()?)?,
            last_message: row.get_ref(4)?.as_str_or_null()?.map(|content| LastMessage { role, content }),
        };
        serde_json::to_writer(&mut json, &chat)?;
    }
    json.extend_from_slice(b"]}}");
    Ok(json)
}

#[derive(Deserialize)]
struct NewChat {
    user: Uuid,
    title: String,
}

/// A chat to insert.
struct Insert {
    id: Uuid,
    new: NewChat,
    /// The current time as duologue stores it: RFC 3339 with milliseconds and an offset.
    now: String,
    /// Gets the title back when the chat is committed. Dropped if it is not.
    done: oneshot::Sender<String>,
}

async fn create_chat(State(server): State<Arc<Server>>, Json(new): Json<NewChat>) -> Result<Response, StatusCode> {
    let (id, now) = (Uuid::now_v7(), Utc::now().trunc_subsecs(3).to_rfc3339_opts(SecondsFormat::AutoSi, false));
    let updated_at = shown(&now).map_err(failed)?;
    let (done, committed) = oneshot::channel();
    server.inserts.send(Insert { id, new, now, done }).map_err(failed)?;
    let title = committed.await.map_err(failed)?;
    Ok(Json(Chat { id: chat_id(id), title: Some(&title), updated_at, last_message: None }).into_response())
}

/// Commits the waiting inserts in groups, until the server ends.
fn write(mut db: Connection, mut waiting: mpsc::UnboundedReceiver<Insert>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        // After an error, the requests of the group fail because their channels are dropped.
        let _ = commit(&mut db, &mut group);
        group.clear();
    }
}

/// Commits a group. An insert that is refused (an unknown user) does not affect the others.
fn commit(db: &mut Connection, group: &mut Vec<Insert>) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = tx.prepare_cached(INSERT)?;
    group.retain(|Insert { id, new: NewChat { user, title }, now, .. }| {
        let key = title.to_lowercase();
        let values = named_params! { ":id": id, ":owner": user, ":title": title, ":key": key, ":now": now };
        insert.execute(values).is_ok()
    });
    drop(insert);
    tx.commit()?;
    for Insert { new, done, .. } in group.drain(..) {
        // The client may have disconnected.
        let _ = done.send(new.title);
    }
    Ok(())
}

fn chat_id(id: Uuid) -> String {
    #[derive(Default)]
    struct OfChat;
    impl StaticType for OfChat {
        const TYPE: &'static str = "chat";
    }
    TypeSafeId::<OfChat>::from_uuid(id).to_string()
}

/// A stored time, which is in UTC and has any number of decimals, with milliseconds and `Z`.
fn shown(stored: &str) -> Result<String> {
    let (seconds, rest) = stored.split_at_checked("2026-11-01T00:00:00".len()).ok_or("not a time")?;
    let millis = rest.strip_prefix('.').and_then(|decimals| decimals.get(..3)).unwrap_or("000");
    Ok(format!("{seconds}.{millis}Z"))
}

fn failed(_: impl Into<Failure>) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
