//! Fills an empty database with a year of usage (1,000 users, 20,000 chats, 1,000,000 replies to as many messages), and
//! measures how long the reports take: `cargo run --release --example usage_year -- sqlite:/tmp/year.db`. A database
//! that it has filled is only measured.
//!
//! The messages are written as an older version would have written them; the migration of the ledger then enters them.
#![expect(clippy::print_stdout, reason = "a tool prints its results")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use duologue::clock::SystemClock;
use duologue::domain::usage::{Group, SeriesQuery, UsageReports};
use duologue::domain::viewer::Permissions;
use duologue::domain::{Credential, Viewer};
use duologue::entity::enums::{Permission, Span};
use duologue::entity::ids::{SessionId, UserId};
use duologue::storage::Database;
use duologue::storage::migrations::{Step, run, status};
use sea_orm::{ConnectOptions, ConnectionTrait as _};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The users.
const USERS: u64 = 1_000;
/// The chats of each user.
const CHATS: u64 = 20;
/// The replies of all users, evenly over a year of 365 days.
const REPLIES: u64 = 1_000_000;
/// The replies that one statement inserts.
const BATCH: u64 = 50_000;
/// The time between two replies, in milliseconds.
const INTERVAL: u64 = 365 * 86_400_000 / REPLIES;
/// The year begins at 2025-11-01 in UTC. In milliseconds.
const START: u64 = 1_761_955_200_000;
/// The runs of each report.
const RUNS: usize = 9;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).ok_or("usage: usage_year DATABASE_URL")?;
    let started = Instant::now();
    let all = status(&url).await?;
    let before = all.iter().position(|(name, _)| name.ends_with("000111_usage")).ok_or("no migration of the ledger")?;
    if all.iter().all(|(_, is_applied)| *is_applied) {
        return measure(&url).await;
    }
    if all.iter().any(|(_, is_applied)| *is_applied) {
        return Err("the database is neither empty nor filled".into());
    }
    run(&url, Step::Up(Some(u32::try_from(before)?))).await?;
    fill(&url).await?;
    println!("filled after {:?}", started.elapsed());
    run(&url, Step::Up(None)).await?;
    println!("migrated after {:?}", started.elapsed());
    measure(&url).await
}

async fn fill(url: &str) -> Result<()> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let db = sea_orm::Database::connect(options).await?;
    let is_sqlite = url.starts_with("sqlite:");
    // UUIDv7 ids of a time in milliseconds.
    let id = |milliseconds: &str, number: &str| match is_sqlite {
        true => format!("unhex(printf('%012x70008%015x', {milliseconds}, {number}))"),
        false => format!(
            "CAST(lpad(to_hex(CAST({milliseconds} AS BIGINT)), 12, '0') || '70008' || \
             lpad(to_hex(CAST({number} AS BIGINT)), 15, '0') AS UUID)"
        ),
    };
    let time = |milliseconds: &str| match is_sqlite {
        true => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', ({milliseconds}) / 1000.0, 'unixepoch')"),
        false => format!("to_timestamp(({milliseconds}) / 1000.0)"),
    };
    let numbers = |from: u64, to: u64| {
        format!(
            "(WITH RECURSIVE n(i) AS (SELECT CAST({from} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             SELECT i FROM n) n",
            to - 1,
        )
    };
    let start = START.to_string();
    let (user, chat) = (id(&start, "n.i"), id(&start, "100000 + n.i"));
    let first = time(&start);
    let users = format!(
        "INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at, \
         updated_at) SELECT {user}, 'user' || n.i, 'user' || n.i, 'user' || n.i, 'user' || n.i, '', TRUE, {first}, \
         {first} FROM {}",
        numbers(0, USERS),
    );
    let owner = id(&start, &format!("n.i % {USERS}"));
    // Three default characters; a fourth of the chats has none.
    let character =
        "(SELECT k.id FROM characters k WHERE (SELECT COUNT(*) FROM characters o WHERE o.id < k.id) = n.i % 4)";
    let chats = format!(
        "INSERT INTO chats (id, owner_id, character_id, model_id, is_pinned, is_archived, message_count, created_at, \
         updated_at, active_at) SELECT {chat}, {owner}, {character}, 'm', \
         FALSE, FALSE, {}, {first}, {first}, {first} FROM {}",
        2 * REPLIES / (USERS * CHATS),
        numbers(0, USERS * CHATS),
    );
    db.execute_unprepared(&users).await?;
    db.execute_unprepared(&chats).await?;
    // Users are busy in different proportions: the square of a number below 1,000 selects the user.
    let chat = id(&start, &format!("100000 + (n.i * n.i / 7 + n.i * 31) % {}", USERS * CHATS));
    let sent = format!("{START} + n.i * {INTERVAL}");
    let (message, reply) = (id(&sent, "2 * n.i"), id(&sent, "2 * n.i + 1"));
    let columns = "id, chat_id, parent_id, depth, jump_id, jump_depth, is_leaf, role, status, body, branch_tokens, \
        is_stop_requested, is_usage_estimate, created_at, model_id, input_tokens, output_tokens, cached_input_tokens, \
        cost_nanodollars, time_to_first_token_ms, duration_ms";
    for from in (0..REPLIES).step_by(usize::try_from(BATCH)?) {
        let numbers = numbers(from, from + BATCH);
        let created = time(&sent);
        let questions = format!(
            "INSERT INTO messages ({columns}) SELECT {message}, {chat}, NULL, 0, {message}, 0, FALSE, 0, 0, \
             'A question', 10, FALSE, FALSE, {created}, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM {numbers}"
        );
        let replies = format!(
            "INSERT INTO messages ({columns}) SELECT {reply}, {chat}, {message}, 1, {message}, 0, TRUE, 1, \
             CASE WHEN n.i % 50 = 0 THEN 3 ELSE 0 END, 'An answer', 20, FALSE, FALSE, {created}, \
             'model' || (n.i % 5), n.i % 3000 + 50, n.i % 700, 0, n.i % 9000 * 100, 400, 9000 FROM {numbers}"
        );
        db.execute_unprepared(&questions).await?;
        db.execute_unprepared(&replies).await?;
    }
    if !is_sqlite {
        db.execute_unprepared("ANALYZE").await?;
    }
    Ok(db.close().await?)
}

async fn measure(url: &str) -> Result<()> {
    let database = Database::connect(url, 4).await?;
    if url.starts_with("postgres") {
        sea_orm::Database::connect(url).await?.execute_unprepared("VACUUM ANALYZE").await?;
    }
    let reports = UsageReports { database: database.clone(), clock: Arc::new(SystemClock) };
    let permissions = Permissions::default();
    permissions.learn(&[Permission::StatsRead], 1);
    let viewer = Viewer {
        user_id: UserId(Uuid::nil()),
        credential: Credential::Session(SessionId(Uuid::nil())),
        permissions,
        may_write: false,
        token_expires_at: None,
        session_ended: CancellationToken::new(),
    };
    let at = |text: &str| text.parse::<DateTime<Utc>>();
    let (from, to) = (at("2025-11-01T00:00:00Z")?, at("2026-11-01T00:00:00Z")?);
    for (name, from, to) in [
        ("stats, all time", None, None),
        ("stats, a year", Some(from), Some(to)),
        ("stats, a month at odd times", Some(at("2026-03-03T03:03:03Z")?), Some(at("2026-04-04T04:04:04Z")?)),
    ] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            reports.stats(&viewer, from, to).await?;
            times.push(started.elapsed());
        }
        print(name, times);
    }
    for group in [None, Some(Group::User), Some(Group::Model), Some(Group::Character)] {
        for (interval, from, to) in [
            (Span::Day, from, to),
            (Span::Month, from, to),
            (Span::Hour, at("2026-03-03T03:00:00Z")?, at("2026-04-03T03:00:00Z")?),
        ] {
            let mut times = Vec::new();
            for _ in 0..RUNS {
                let started = Instant::now();
                reports.series(&viewer, SeriesQuery { from, to, interval, group, user_id: None }).await?;
                times.push(started.elapsed());
            }
            print(&format!("series by {interval:?}, group {group:?}"), times);
        }
    }
    database.close().await;
    Ok(())
}

fn print(name: &str, mut times: Vec<std::time::Duration>) {
    times.sort_unstable();
    println!("{name}: fastest {:?}, median {:?}, longest {:?}", times[0], times[RUNS / 2], times[RUNS - 1]);
}
