//! Fills the benchmark's database: rows that the server wrote for one user are copied for many users by SQL, with
//! access tokens for all. Columns that are not listed keep the values of the copied rows, so new columns need no change
//! here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::Connection;
use serde_json::Value;
use sha2::Sha256;
use std::path::Path;
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

use crate::Result;

/// The number of users.
pub const USERS: usize = 1_000;
/// Chats per user.
pub const CHATS: usize = 20;
/// Messages per chat.
const MESSAGES: usize = 20;
/// The text of a message, of average length.
const BODY: &str = "Seven sailors sold silver spoons by the shore, and nobody asked where the silver had come from. \
    A short answer would be that the tide brings it; the longer one needs a map, a lamp, and an evening without rain.";

/// A user of the benchmark.
#[derive(Debug, Clone)]
pub struct User {
    /// The primary key.
    pub id: Uuid,
    /// The access token.
    pub token: String,
}

/// The source rows of one table, and the columns that differ in the copies.
struct Copy<'a> {
    table: &'a str,
    /// A condition for the copied row, and the rest of the `FROM` clause.
    from: String,
    own: Vec<(&'a str, String)>,
}

/// An SQL expression for a UUIDv7 of a kind of row.
fn key(kind: u32, number: &str) -> String {
    format!("unhex(printf('019a00000000700{kind}8000%012x', {number}))")
}

fn uuid(kind: u32, number: usize) -> Uuid {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | u128::from(kind) << 64 | number as u128)
}

/// Fills the database, in which the server has created the user `template` with a session and a chat of one message and
/// its reply.
pub fn fill(file: &Path) -> Result<()> {
    let db = Connection::open(file)?;
    db.execute_batch(
        "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN IMMEDIATE",
    )?;
    let numbers = |name: &str, to: usize| {
        format!(
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to}) SELECT i FROM n) {name}"
        )
    };
    let moment =
        |seconds: &str| format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', '2026-11-01', '+' || ({seconds}) || ' seconds')");
    let (users, chats, messages) = (numbers("u", USERS), numbers("c", CHATS), numbers("m", MESSAGES));
    let user_key = "'user' || u.i";
    let email = "'user' || u.i || '@example.org'";
    let chat_number = "u.i * 100 + c.i";
    let message_number = "(u.i * 100 + c.i) * 100 + m.i";
    let before = "(u.i * 100 + c.i) * 100 + m.i - 1";
    let last = format!("({chat_number}) * 100 + {MESSAGES}");
    let copies = [
        Copy {
            table: "users",
            from: format!("users t, {users} WHERE t.username = 'template'"),
            own: vec![
                ("id", key(1, "u.i")),
                ("username", user_key.to_owned()),
                ("username_key", user_key.to_owned()),
                ("email", email.to_owned()),
                ("email_key", email.to_owned()),
            ],
        },
        Copy {
            table: "sessions",
            from: format!("(SELECT * FROM sessions ORDER BY id DESC LIMIT 1) t, {users}"),
            own: vec![("id", key(2, "u.i")), ("user_id", key(1, "u.i")), ("refresh_hash", "randomblob(32)".to_owned())],
        },
        Copy {
            table: "chats",
            from: format!("(SELECT * FROM chats LIMIT 1) t, {users}, {chats}"),
            own: vec![
                ("id", key(3, chat_number)),
                ("owner_id", key(1, "u.i")),
                ("title", "'A talk about silver, number ' || c.i".to_owned()),
                ("title_key", "'a talk about silver, number ' || c.i".to_owned()),
                ("message_count", MESSAGES.to_string()),
                ("leaf_id", key(4, &last)),
                ("active_at", moment("c.i * 1000 + u.i")),
                ("updated_at", moment("c.i * 1000 + u.i")),
            ],
        },
        Copy {
            table: "messages",
            // Odd messages are from the user, even ones from the assistant.
            from: format!("{users}, {chats}, {messages} JOIN (SELECT * FROM messages) t ON t.role = (m.i + 1) % 2"),
            own: vec![
                ("id", key(4, message_number)),
                ("chat_id", key(3, chat_number)),
                ("parent_id", format!("CASE WHEN m.i > 1 THEN {} END", key(4, before))),
                ("depth", "m.i - 1".to_owned()),
                // Any ancestor is valid as a jump pointer.
                ("jump_id", key(4, "(u.i * 100 + c.i) * 100 + max(m.i - 1, 1)")),
                ("jump_depth", "max(m.i - 2, 0)".to_owned()),
                ("is_leaf", format!("m.i = {MESSAGES}")),
                ("body", format!("'{BODY}' || m.i")),
            ],
        },
    ];
    for copy in copies {
        let mut names = db.prepare("SELECT name FROM pragma_table_info(?)")?;
        let columns: Vec<String> = names.query_map([copy.table], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let value = |column: &String| {
            let own = copy.own.iter().find(|(name, _)| name == column);
            own.map_or_else(|| format!("t.{column}"), |(_, expression)| expression.clone())
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            copy.table,
            columns.join(", "),
            values.join(", "),
            copy.from
        );
        db.execute_batch(&sql)?;
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    db.close().map_err(|(_, cause)| cause)?;
    Ok(())
}

/// The users with their access tokens: the first user's token, re-signed for each.
pub fn users(template_token: &str, secret: &str) -> Result<Vec<User>> {
    let mut parts = template_token.split('.');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return Err("not a JWT".into()) };
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let mut users = Vec::new();
    for number in 1..=USERS {
        let id = uuid(1, number);
        claims["sub"] = type_id("user", id)?.into();
        claims["sid"] = type_id("sess", uuid(2, number))?.into();
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        users.push(User { id, token: format!("{signed}.{signature}") });
    }
    Ok(users)
}

fn type_id(prefix: &str, id: Uuid) -> Result<String> {
    let prefix = DynamicType::new(prefix).map_err(|cause| format!("{cause:?}"))?;
    Ok(TypeSafeId::from_type_and_uuid(prefix, id).to_string())
}
