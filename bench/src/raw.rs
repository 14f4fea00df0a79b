//! The raw server for comparison: the same responses with axum and sqlx only, without GraphQL, accounts, limits, logs
//! or crash recovery of streams.

use std::path::Path;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Json, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use chrono::{DateTime, SecondsFormat, Utc};
use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

use crate::Result;

/// Read connections to the database, the same number as duologue's default.
const READERS: u32 = 10;

#[derive(Clone)]
struct Server {
    reader: SqlitePool,
    writer: SqlitePool,
    client: reqwest::Client,
    provider: String,
}

/// Serves until the process ends.
pub async fn serve(port: u16, database: &Path, provider: &str) -> Result<()> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true);
    let reader =
        SqlitePoolOptions::new().max_connections(READERS).connect_with(options.clone().read_only(true)).await?;
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let server = Server { reader, writer, client: reqwest::Client::new(), provider: provider.to_owned() };
    let router = axum::Router::new()
        .route("/me", post(me))
        .route("/chats", post(create_chat))
        .route("/stream", get(stream))
        .with_state(server);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

#[derive(Serialize)]
struct Me {
    username: String,
    chats: Page,
}

#[derive(Serialize)]
struct Page {
    nodes: Vec<Chat>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chat {
    id: String,
    title: Option<String>,
    updated_at: String,
    last_message: Option<LastMessage>,
}

#[derive(Serialize)]
struct LastMessage {
    role: &'static str,
    content: String,
}

#[derive(Deserialize)]
struct Who {
    user: Uuid,
}

async fn me(State(server): State<Server>, Json(Who { user }): Json<Who>) -> Result<Json<Me>, StatusCode> {
    let username = sqlx::query_scalar("SELECT username FROM users WHERE id = ?")
        .bind(user)
        .fetch_one(&server.reader)
        .await
        .map_err(failed)?;
    let sql = "SELECT c.id, c.title, max(c.updated_at, c.active_at), m.role, m.body \
        FROM chats c LEFT JOIN messages m ON m.id = c.leaf_id \
        WHERE c.owner_id = ? AND c.deleted_at IS NULL ORDER BY c.active_at DESC, c.id DESC LIMIT 20";
    let rows = sqlx::query(sql).bind(user).fetch_all(&server.reader).await.map_err(failed)?;
    let nodes = rows.into_iter().map(|row| {
        let content: Option<String> = row.try_get(4)?;
        let role: Option<i16> = row.try_get(3)?;
        let role = if role == Some(0) { "USER" } else { "ASSISTANT" };
        Ok(Chat {
            id: chat_id(row.try_get(0)?),
            title: row.try_get(1)?,
            updated_at: shown(row.try_get(2)?),
            last_message: content.map(|content| LastMessage { role, content }),
        })
    });
    let nodes = nodes.collect::<Result<_, sqlx::Error>>().map_err(failed)?;
    Ok(Json(Me { username, chats: Page { nodes } }))
}

#[derive(Deserialize)]
struct NewChat {
    user: Uuid,
    title: String,
}

async fn create_chat(State(server): State<Server>, Json(new): Json<NewChat>) -> Result<Json<Chat>, StatusCode> {
    let (id, now) = (Uuid::now_v7(), Utc::now());
    let mut tx = server.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let sql = "INSERT INTO chats (id, owner_id, title, title_key, model_id, is_pinned, is_archived, message_count, \
        created_at, updated_at, active_at) VALUES (?, ?, ?, ?, 'demo', FALSE, FALSE, 0, ?, ?, ?)";
    let insert = sqlx::query(sql).bind(id).bind(new.user).bind(&new.title).bind(new.title.to_lowercase());
    insert.bind(now).bind(now).bind(now).execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(Json(Chat { id: chat_id(id), title: Some(new.title), updated_at: shown(now), last_message: None }))
}

fn chat_id(id: Uuid) -> String {
    DynamicType::new("chat").map(|prefix| TypeSafeId::from_type_and_uuid(prefix, id).to_string()).unwrap_or_default()
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn failed(_: sqlx::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn stream(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        // The reader or the provider may have disconnected.
        let _ = relay(&server, socket).await;
    })
}

/// Relays one prompt and its reply, token by token.
async fn relay(server: &Server, mut socket: WebSocket) -> Result<()> {
    #[derive(Deserialize)]
    struct Ask {
        model: String,
    }
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        delta: Delta,
    }
    #[derive(Deserialize)]
    struct Delta {
        content: Option<String>,
    }
    #[derive(Serialize)]
    struct Token {
        text: String,
    }
    while let Some(Message::Text(ask)) = socket.recv().await.transpose()? {
        let Ask { model } = serde_json::from_str(&ask)?;
        let messages = serde_json::json!([{ "role": "user", "content": "Tell me something." }]);
        let body = serde_json::json!({ "model": model, "messages": messages, "stream": true });
        let response = server.client.post(&server.provider).json(&body).send().await?;
        let mut events = response.bytes_stream().eventsource();
        while let Some(event) = events.next().await.transpose()?.filter(|event| event.data != "[DONE]") {
            let chunk: Chunk = serde_json::from_str(&event.data)?;
            for text in chunk.choices.into_iter().filter_map(|choice| choice.delta.content) {
                socket.send(Message::Text(serde_json::to_string(&Token { text })?.into())).await?;
            }
        }
        socket.send(Message::Text(r#"{"done":true}"#.into())).await?;
    }
    Ok(())
}
