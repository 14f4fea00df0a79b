//! Statistics and usage series: equal to a recount of the ledger, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, TimeDelta, TimeZone as _, Timelike as _, Utc};
use duologue::clock::{Clock as _, SystemClock};
use duologue::domain::usage::{Group, SeriesQuery, Subject, Sums, UsageReports};
use duologue::domain::viewer::Permissions;
use duologue::domain::{Credential, Error, Viewer};
use duologue::entity::enums::{CallKind, MessageStatus, Permission, Span};
use duologue::entity::ids::{CharacterId, ChatId, SessionId, UserId};
use duologue::entity::{character, ledger_entry, user};
use duologue::storage::migrations::{Step, run};
use duologue::storage::usage::{anonymize, record};
use duologue::storage::{self, Database};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::client::text;
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{root, with_admin, with_permissions};

/// The random histories on each database.
const HISTORIES: u64 = 6;
/// The steps of each.
const STEPS: usize = 60;

/// A generator of random numbers (SplitMix64), so that a history can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()].clone()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A time in the first quarter of 2026, often at the edge of an hour, a day or a month.
fn time(random: &mut Random) -> DateTime<Utc> {
    let edge =
        random.one(&["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-14T00:00:00Z", "2026-02-14T05:00:00Z"]);
    match random.below(3) {
        0 => at(edge),
        1 => at(edge) - TimeDelta::milliseconds(1),
        _ => {
            at("2026-01-20T00:00:00Z") + TimeDelta::milliseconds(i64::try_from(random.below(50 * 86_400_000)).unwrap())
        }
    }
}

fn floor(span: Span, time: DateTime<Utc>) -> DateTime<Utc> {
    match span {
        Span::Hour => Utc.with_ymd_and_hms(time.year(), time.month(), time.day(), time.hour(), 0, 0).unwrap(),
        Span::Day => Utc.with_ymd_and_hms(time.year(), time.month(), time.day(), 0, 0, 0).unwrap(),
        Span::Month => Utc.with_ymd_and_hms(time.year(), time.month(), 1, 0, 0, 0).unwrap(),
    }
}

fn next(span: Span, start: DateTime<Utc>) -> DateTime<Utc> {
    match span {
        Span::Hour => start + TimeDelta::hours(1),
        Span::Day => start + TimeDelta::days(1),
        Span::Month => floor(Span::Month, start + TimeDelta::days(31)),
    }
}

/// A user with STATS_READ.
fn viewer(id: UserId) -> Viewer {
    let permissions = Permissions::default();
    permissions.learn(&[Permission::StatsRead], 1);
    Viewer {
        user_id: id,
        credential: Credential::Session(SessionId(Uuid::from_u128(1))),
        permissions,
        may_write: true,
        token_expires_at: None,
        session_ended: CancellationToken::new(),
    }
}

fn user_row(number: u128) -> user::Model {
    let name = format!("user{number}");
    user::Model {
        id: UserId(Uuid::from_u128(number)),
        username: name.clone(),
        username_key: name.clone(),
        email: name.clone(),
        email_key: name,
        password_hash: String::new(),
        full_name: None,
        full_name_key: None,
        bio: None,
        is_active: true,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        last_seen_at: None,
        deleted_at: None,
        cost_limit: None,
        token_limit: None,
    }
}

/// What the database has, for the recount.
struct World {
    db: Database,
    users: Vec<UserId>,
    characters: Vec<CharacterId>,
    models: Vec<String>,
    count: u128,
}

impl World {
    async fn new(db: Database, random: &mut Random) -> Self {
        let users: Vec<UserId> = (1..=8).map(|number| UserId(Uuid::from_u128(number))).collect();
        let transaction = db.begin().await.unwrap();
        for number in 1..=8 {
            assert!(storage::users::insert(&transaction, user_row(number)).await.unwrap());
        }
        let mut characters = Vec::new();
        for number in 1..=5_u128 {
            let id = CharacterId(Uuid::from_u128(100 + number));
            let name = format!("Character {number}");
            let row = character::Model {
                id,
                owner_id: Some(random.one(&users)),
                name_key: name.to_lowercase(),
                name,
                description: None,
                avatar_url: None,
                greeting: None,
                system_prompt: String::new(),
                model_id: None,
                temperature: None,
                max_output_tokens: None,
                is_public: number % 2 == 0,
                created_at: DateTime::UNIX_EPOCH,
                updated_at: DateTime::UNIX_EPOCH,
                deleted_at: None,
            };
            let row = row.into_active_model().reset_all();
            character::Entity::insert(row).exec_without_returning(&transaction).await.unwrap();
            characters.push(id);
        }
        transaction.commit().await.unwrap();
        let models = (0..25).map(|number| format!("model{number}")).collect();
        Self { db, users, characters, models, count: 0 }
    }

    fn entry(&mut self, random: &mut Random) -> ledger_entry::Model {
        self.count += 1;
        let is_free = random.below(5) == 0;
        let mut tokens = |limit: u64| if is_free { 0 } else { i32::try_from(random.below(limit)).unwrap() };
        let (input_tokens, output_tokens, cost) = (tokens(5_000), tokens(2_000), tokens(1_000_000));
        let outcomes =
            [MessageStatus::Complete, MessageStatus::Stopped, MessageStatus::Failed, MessageStatus::Interrupted];
        let character = random.below(3) > 0;
        ledger_entry::Model {
            id: Uuid::from_u128(1_000 + self.count),
            kind: random.one(&[CallKind::Reply, CallKind::Reply, CallKind::Title, CallKind::Summary]),
            user_id: Some(random.one(&self.users)),
            chat_id: Some(ChatId(Uuid::from_u128(7))),
            character_id: character.then(|| random.one(&self.characters)),
            model_id: random.one(&self.models),
            started_at: time(random),
            input_tokens,
            cached_input_tokens: 0,
            output_tokens,
            is_estimate: false,
            input_price: None,
            cached_input_price: None,
            output_price: None,
            cost_nanodollars: (random.below(4) > 0).then(|| i64::from(cost)),
            time_to_first_token_ms: None,
            duration_ms: None,
            outcome: random.one(&outcomes),
            error_code: None,
        }
    }

    /// One step of a history.
    async fn step(&mut self, random: &mut Random, last: &mut Vec<ledger_entry::Model>) {
        let transaction = self.db.begin().await.unwrap();
        match random.below(12) {
            0 => {
                let now = Expr::value(Some(Utc.timestamp_opt(0, 0).unwrap()));
                let delete = user::Entity::update_many().col_expr(user::Column::DeletedAt, now);
                delete.filter(user::Column::Id.eq(random.one(&self.users))).exec(&transaction).await.unwrap();
            }
            1 => {
                let id = random.one(&self.users);
                if storage::users::find_all(&transaction, &[id]).await.unwrap().is_empty() {
                    anonymize(&transaction, id, 1 + random.below(5)).await.unwrap();
                }
            }
            2 if random.below(4) == 0 => {
                let id = random.one(&self.characters);
                let now = Expr::value(Some(Utc.timestamp_opt(0, 0).unwrap()));
                let delete = character::Entity::update_many().col_expr(character::Column::DeletedAt, now);
                delete.filter(character::Column::Id.eq(id)).exec(&transaction).await.unwrap();
            }
            // A transaction whose answer was lost is repeated.
            3 => record(&transaction, last.clone()).await.unwrap(),
            _ => {
                *last = (0..=random.below(5)).map(|_| self.entry(random)).collect();
                record(&transaction, last.clone()).await.unwrap();
            }
        }
        transaction.commit().await.unwrap();
    }
}

/// The key of a group in the recount. None is the group without a key.
type Key = Option<String>;

/// The ledger, and what of it may be shown to the viewer.
struct Recount {
    entries: Vec<ledger_entry::Model>,
    alive: BTreeSet<String>,
    visible: BTreeSet<String>,
}

impl Recount {
    async fn read(db: &Database, viewer: UserId) -> Self {
        let entries = ledger_entry::Entity::find().all(db.reader()).await.unwrap();
        let users = user::Entity::find().filter(user::Column::DeletedAt.is_null()).all(db.reader()).await.unwrap();
        let alive = character::Entity::find().filter(character::Column::DeletedAt.is_null());
        let characters = alive.all(db.reader()).await.unwrap();
        let visible = characters.iter().filter(|one| one.is_public || one.owner_id == Some(viewer));
        Self {
            entries,
            alive: users.iter().map(|user| user.id.to_string()).collect(),
            visible: visible.map(|one| one.id.to_string()).collect(),
        }
    }

    fn key(&self, group: Group, entry: &ledger_entry::Model) -> Key {
        match group {
            Group::User => entry.user_id.map(|id| id.to_string()).filter(|id| self.alive.contains(id)),
            Group::Model => Some(entry.model_id.clone()),
            Group::Character => entry.character_id.map(|id| id.to_string()).filter(|id| self.visible.contains(id)),
        }
    }

    /// The entries of a range, of one user if given.
    fn of(&self, from: DateTime<Utc>, to: DateTime<Utc>, user: Option<UserId>) -> Vec<&ledger_entry::Model> {
        let is_known = user.is_none_or(|id| self.alive.contains(&id.to_string()));
        let entries = self.entries.iter().filter(|entry| is_known && (from..to).contains(&entry.started_at));
        entries.filter(|entry| user.is_none() || entry.user_id == user).collect()
    }
}

fn sums(entries: &[&ledger_entry::Model]) -> Sums {
    let mut sums = Sums::default();
    for entry in entries {
        let is_reply = entry.kind == CallKind::Reply;
        let has_failed = [MessageStatus::Failed, MessageStatus::Interrupted].contains(&entry.outcome);
        sums.replies += i64::from(is_reply);
        sums.failed_replies += i64::from(is_reply && has_failed);
        sums.input_tokens += i64::from(entry.input_tokens);
        sums.output_tokens += i64::from(entry.output_tokens);
        sums.cost += entry.cost_nanodollars.unwrap_or(0);
    }
    sums
}

fn order(sums: Sums) -> (i64, i64, i64) {
    (-sums.cost, -(sums.input_tokens + sums.output_tokens), -sums.replies)
}

/// Compares a random series with a recount.
async fn check_series(reports: &UsageReports, viewer: &Viewer, recount: &Recount, random: &mut Random, world: &World) {
    let interval = random.one(&[Span::Hour, Span::Day, Span::Month]);
    let mut from = floor(interval, time(random));
    let mut to = floor(interval, time(random));
    if to < from {
        (from, to) = (to, from);
    }
    if interval == Span::Hour {
        to = to.min(from + TimeDelta::hours(1_000));
    }
    let group = random.one(&[None, Some(Group::User), Some(Group::Model), Some(Group::Character)]);
    let user_id = (random.below(3) == 0).then(|| random.one(&world.users));
    let query = SeriesQuery { from, to, interval, group, user_id };
    let series = reports.series(viewer, query.clone()).await.unwrap();

    let mut groups: BTreeMap<Key, Vec<&ledger_entry::Model>> = BTreeMap::new();
    let all = recount.of(from, to, user_id);
    for entry in &all {
        groups.entry(group.and_then(|group| recount.key(group, entry))).or_default().push(entry);
    }
    let mut expected: Vec<(i64, i64, i64)> = groups.values().map(|entries| order(sums(entries))).collect();
    expected.sort_unstable();
    let has_rest = group.is_some() && (expected.len() > 20 || expected.is_empty());
    expected.truncate(20);

    let mut buckets = series.buckets.iter();
    let (mut start, mut steps, mut listed) = (from, 0, Vec::new());
    while start < to {
        let end = next(interval, start);
        let in_step = recount.of(start, end, user_id);
        let mut rest = sums(&in_step);
        let count = if group.is_some() { expected.len() } else { 1 };
        let mut keys = Vec::new();
        for _ in 0..count {
            let bucket = buckets.next().unwrap();
            assert_eq!((bucket.start, bucket.is_rest), (start, false), "{query:?}");
            let key = match &bucket.subject {
                Subject::None => None,
                Subject::User(row) => Some(row.id.to_string()),
                Subject::Model(id) => Some(id.clone()),
                Subject::Character(row) => Some(row.id.to_string()),
            };
            let of_group = |entry: &&&ledger_entry::Model| group.is_none_or(|group| recount.key(group, entry) == key);
            let wanted = sums(&in_step.iter().filter(of_group).copied().collect::<Vec<_>>());
            assert_eq!(bucket.calls, wanted, "{key:?} {start} {query:?}");
            rest -= wanted;
            keys.push(key);
        }
        if has_rest {
            let bucket = buckets.next().unwrap();
            assert!(bucket.is_rest && bucket.start == start && matches!(bucket.subject, Subject::None), "{query:?}");
            assert_eq!(bucket.calls, rest, "{start} {query:?}");
        } else {
            assert_eq!(rest, Sums::default(), "{query:?}");
        }
        assert!(steps == 0 || keys == listed, "the groups are the same in each step: {query:?}");
        listed = keys;
        start = end;
        steps += 1;
    }
    assert!(buckets.next().is_none() && steps == series.steps, "{query:?}");
    if group.is_some() && steps > 0 {
        let found: Vec<_> = listed.iter().map(|key| order(sums(&groups[key]))).collect();
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a group is listed once");
    }
}

/// Compares the statistics of a random range, at any millisecond, with a recount.
async fn check_stats(reports: &UsageReports, viewer: &Viewer, recount: &Recount, random: &mut Random) {
    let mut bound = || (random.below(4) > 0).then(|| time(random));
    let (mut from, mut to) = (bound(), bound());
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        (from, to) = (to, from);
    }
    let found = reports.stats(viewer, from, to).await.unwrap();
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let entries = recount.of(from.unwrap_or(first), to.unwrap_or(last), None);
    assert_eq!(found.calls, sums(&entries), "{from:?} {to:?}");
    let active = entries.iter().filter(|entry| entry.kind == CallKind::Reply);
    let active: BTreeSet<String> = active.filter_map(|entry| recount.key(Group::User, entry)).collect();
    assert_eq!(found.active_users, i64::try_from(active.len()).unwrap(), "{from:?} {to:?}");
}

on_both_databases!(statistics_equal_a_recount_of_the_ledger, |database| async move {
    for seed in 0..HISTORIES {
        let random = &mut Random(seed);
        run(database.url(), Step::Fresh).await.unwrap();
        let db = Database::connect(database.url(), 4).await.unwrap();
        let mut world = World::new(db.clone(), random).await;
        let reports = UsageReports { database: db.clone(), clock: Arc::new(SystemClock) };
        let viewer = viewer(UserId(Uuid::from_u128(1)));
        let mut last = Vec::new();
        for step in 0..STEPS {
            world.step(random, &mut last).await;
            if step % 10 == 9 {
                let recount = Recount::read(&db, viewer.user_id).await;
                for _ in 0..8 {
                    check_series(&reports, &viewer, &recount, random, &world).await;
                    check_stats(&reports, &viewer, &recount, random).await;
                }
            }
        }
        db.close().await;
    }
});

on_both_databases!(a_series_has_whole_buckets_and_a_thousand_steps, |database| async move {
    run(database.url(), Step::Up(None)).await.unwrap();
    let db = Database::connect(database.url(), 4).await.unwrap();
    let reports = UsageReports { database: db.clone(), clock: Arc::new(SystemClock) };
    let viewer = viewer(UserId(Uuid::from_u128(1)));
    let series = async |from: &str, to: &str, interval| {
        let query = SeriesQuery { from: at(from), to: at(to), interval, group: None, user_id: None };
        reports.series(&viewer, query).await
    };
    let steps = async |from: &str, to: &str, interval| {
        let found = series(from, to, interval).await.unwrap();
        assert_eq!(found.buckets.len(), found.steps);
        found.steps
    };
    assert_eq!(steps("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", Span::Day).await, 366);
    assert_eq!(steps("0000-01-01T00:00:00Z", "0083-05-01T00:00:00Z", Span::Month).await, 1_000);
    assert_eq!(steps("2026-01-01T00:00:00Z", "2026-02-11T16:00:00Z", Span::Hour).await, 1_000);
    assert_eq!(steps("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", Span::Month).await, 0);
    for (from, to, interval, wrong) in [
        ("2026-01-01T00:00:00Z", "2026-02-11T17:00:00Z", Span::Hour, vec!["to"]),
        ("2026-01-01T00:00:00.001Z", "2026-01-01T00:30:00Z", Span::Hour, vec!["from", "to"]),
        ("2026-01-01T01:00:00Z", "2026-01-02T00:00:00Z", Span::Day, vec!["from"]),
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", Span::Month, vec!["to"]),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", Span::Day, vec!["to"]),
    ] {
        let Err(Error::Invalid(fields)) = series(from, to, interval).await else { panic!("{from} {to} is accepted") };
        let paths: Vec<String> = fields.iter().map(|field| field.path.join(".")).collect();
        assert_eq!(paths, wrong, "{from} {to}");
    }
    let backwards = reports.stats(&viewer, Some(at("2026-01-02T00:00:00Z")), Some(at("2026-01-01T00:00:00Z"))).await;
    assert!(matches!(backwards, Err(Error::Invalid(_))));
    db.close().await;
});

const STATS: &str = "userCount activeUserCount chatCount messageCount replyCount failedReplyCount inputTokens
    outputTokens cost";

on_both_databases!(admins_see_what_was_created_and_spent, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let admin = root(&server).await;
    let stats = async |arguments: &str| {
        let document = format!("{{ admin {{ stats{arguments} {{ {STATS} }} streamingReplyCount }} }}");
        admin.data(&document, json!({})).await["admin"].take()
    };
    let nothing = stats("").await;
    assert_eq!((&nothing["stats"]["userCount"], &nothing["stats"]["messageCount"]), (&json!(1), &json!(0)));

    let (ada, bob) = (server.sign_up("ada").await, server.sign_up("bob").await);
    let one = ada.ask("demo/fast", "one").await;
    let two = ada.ask("demo/fails", "two").await;
    let deleted = ada.ask("demo/fast", "three").await;
    for reply in [&one.reply, &two.reply, &deleted.reply] {
        ada.ended(reply).await;
    }
    ada.mutate("deleteChat", "chatId", json!({ "chatId": deleted.chat })).await.data();
    let running = bob.ask("demo/stalls", "four").await;
    let tokens: Value = ada.message(&one.reply, "usage { inputTokens outputTokens }").await["usage"].take();
    let all = stats("").await;
    assert_eq!(all["streamingReplyCount"], 1);
    let all = &all["stats"];
    assert_eq!((&all["userCount"], &all["activeUserCount"]), (&json!(3), &json!(2)), "{all}");
    assert_eq!((&all["chatCount"], &all["messageCount"]), (&json!(3), &json!(6)), "{all}");
    assert_eq!((&all["replyCount"], &all["failedReplyCount"]), (&json!(3), &json!(1)), "{all}");
    assert!(all["outputTokens"].as_i64() > tokens["outputTokens"].as_i64(), "{all}");

    // The same within an hour around it, and nothing before and after.
    let now = SystemClock.now();
    let range = |from: i64, to: i64| {
        let time = |hours: i64| (now + TimeDelta::hours(hours)).to_rfc3339();
        format!("(from: \"{}\", to: \"{}\")", time(from), time(to))
    };
    assert_eq!(stats(&range(-1, 1)).await["stats"], *all);
    for (from, to) in [(-2, -1), (1, 2)] {
        let empty = stats(&range(from, to)).await["stats"].take();
        assert!(empty.as_object().unwrap().values().all(|count| *count == 0), "{empty}");
    }

    let own = ada.data(
        "{ me { stats { chatCount messageCount inputTokens outputTokens firstMessageAt lastMessageAt } } }",
        json!({}),
    );
    let own = own.await["me"]["stats"].take();
    assert_eq!((&own["chatCount"], &own["messageCount"]), (&json!(2), &json!(4)));
    assert_eq!((&own["inputTokens"], &own["outputTokens"]), (&all["inputTokens"], &all["outputTokens"]));
    assert_eq!(own["firstMessageAt"], ada.message(&one.message, "createdAt").await["createdAt"]);
    assert_eq!(own["lastMessageAt"], ada.message(&two.reply, "createdAt").await["createdAt"]);

    let day = |days: i64| (now + TimeDelta::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
    let document = "query($from: DateTime!, $to: DateTime!, $group: UsageGroup, $user: ID) { admin {
        usage(from: $from, to: $to, interval: DAY, groupBy: $group, userId: $user) {
            start isRest user { id username } modelId character { id } replyCount failedReplyCount inputTokens } } }";
    let usage = async |group: Option<&str>, user: Option<&str>| {
        let variables = json!({ "from": day(-1), "to": day(2), "group": group, "user": user });
        admin.data(document, variables).await["admin"]["usage"].as_array().unwrap().clone()
    };
    let total = usage(None, None).await;
    assert_eq!(total.len(), 3, "every bucket is present: {total:?}");
    assert_eq!(total.iter().map(|bucket| bucket["replyCount"].as_i64().unwrap()).sum::<i64>(), 3);
    let users = usage(Some("USER"), None).await;
    assert!(users.len() == 3 && users.iter().all(|bucket| bucket["user"]["id"] == json!(ada.id)), "{users:?}");
    let models = usage(Some("MODEL"), Some(&ada.id)).await;
    let ids: BTreeSet<String> = models.iter().map(|bucket| text(&bucket["modelId"])).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["demo/fails", "demo/fast"]);
    let nobody = usage(Some("USER"), Some(&bob.id)).await;
    assert!(nobody.len() == 3 && nobody.iter().all(|bucket| bucket["isRest"] == true), "{nobody:?}");
    let characters = usage(Some("CHARACTER"), None).await;
    assert!(characters.len() == 3 && characters.iter().all(|bucket| bucket["character"].is_null()), "{characters:?}");

    let other = with_permissions(&admin, "eve", &["USERS_READ"]).await;
    for field in ["stats { userCount }", "streamingReplyCount"] {
        assert_eq!(other.run(&format!("{{ admin {{ {field} }} }}"), json!({})).await.code(), "FORBIDDEN");
    }
    let wrong = json!({ "from": now.to_rfc3339(), "to": day(2), "group": null, "user": null });
    assert_eq!(admin.run(document, wrong).await.code(), "INVALID_INPUT");
    bob.mutate("stopReply", "message { id }", json!({ "messageId": running.reply })).await.data();
    server.stop().await;
});

on_both_databases!(the_longest_series_fits_into_one_request, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let admin = root(&server).await;
    let document =
        "query($group: UsageGroup) { admin { usage(from: \"2026-01-01T00:00:00Z\", to: \"2028-09-27T00:00:00Z\",
        interval: DAY, groupBy: $group) { start isRest user { id username } modelId replyCount failedReplyCount
            inputTokens outputTokens cost } } }";
    let found = admin.data(document, json!({ "group": "USER" })).await;
    assert_eq!(found["admin"]["usage"].as_array().unwrap().len(), 1_000);
    server.stop().await;
});
