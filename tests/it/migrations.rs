//! Tests of the migrations: up, down and up again, concurrent runs, and migrations of existing data.

use duologue::entity::{audit_entry, user};
use duologue::storage::Database;
use duologue::storage::migrations::{Step, run, status};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QueryOrder as _};

use crate::support::database::on_both_databases;

on_both_databases!(migrations_run_up_down_and_up, |database| async move {
    run(database.url(), Step::Up(None)).await.unwrap();
    let all = status(database.url()).await.unwrap();
    assert!(!all.is_empty() && all.iter().all(|(_, applied)| *applied), "{all:?}");

    run(database.url(), Step::Down(1)).await.unwrap();
    let pending: Vec<bool> = status(database.url()).await.unwrap().iter().map(|(_, applied)| !applied).collect();
    assert_eq!(pending.iter().filter(|pending| **pending).count(), 1);
    assert_eq!(pending.last(), Some(&true), "the newest is reverted first");

    run(database.url(), Step::Down(u32::try_from(all.len()).unwrap())).await.unwrap();
    assert!(status(database.url()).await.unwrap().iter().all(|(_, applied)| !applied));
    run(database.url(), Step::Up(None)).await.unwrap();
    run(database.url(), Step::Fresh).await.unwrap();
    assert!(status(database.url()).await.unwrap().iter().all(|(_, applied)| *applied));
});

on_both_databases!(usernames_are_removed_from_the_audit_log, |database| async move {
    let all = status(database.url()).await.unwrap();
    let before = all.iter().position(|(name, _)| name.ends_with("audit_usernames")).unwrap();
    run(database.url(), Step::Up(Some(u32::try_from(before).unwrap()))).await.unwrap();
    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    let id = match database.url().starts_with("postgres") {
        true => "'00000000-0000-7000-8000-000000000001'",
        false => "x'00000000000070008000000000000001'",
    };
    let values = r#"'2026-11-20 09:30:00+00:00', 'user.created', '{"username":"ada","roles":["user"]}', 1"#;
    let columns = "id, created_at, action, detail, occurrences";
    rows.execute_unprepared(&format!("INSERT INTO audit_log ({columns}) VALUES ({id}, {values})")).await.unwrap();
    rows.close().await.unwrap();
    run(database.url(), Step::Up(None)).await.unwrap();
    let rows = Database::connect(database.url(), 2).await.unwrap();
    let entry = audit_entry::Entity::find().one(rows.reader()).await.unwrap().unwrap();
    let detail: serde_json::Value = serde_json::from_str(&entry.detail).unwrap();
    assert_eq!(detail, serde_json::json!({ "roles": ["user"] }));
    rows.close().await;
});

on_both_databases!(concurrent_migrations_wait_for_one_another, |database| async move {
    run(database.url(), Step::Up(Some(1))).await.unwrap();
    let (one, two) = tokio::join!(run(database.url(), Step::Up(None)), run(database.url(), Step::Up(None)));
    if database.url().starts_with("postgres") {
        one.unwrap();
        two.unwrap();
    } else {
        assert!(one.is_ok() || two.is_ok(), "SQLite has one server, and it holds the lock: {one:?} {two:?}");
    }
    assert!(status(database.url()).await.unwrap().iter().all(|(_, applied)| *applied));
});

on_both_databases!(existing_full_names_get_a_search_key, |database| async move {
    let all = status(database.url()).await.unwrap();
    let before = all.iter().position(|(name, _)| name.ends_with("full_name_keys")).unwrap();
    run(database.url(), Step::Up(Some(u32::try_from(before).unwrap()))).await.unwrap();
    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    // More rows than one batch, and one without a name.
    for n in 0..502 {
        let (id, name) = match database.url().starts_with("postgres") {
            true => (format!("'00000000-0000-7000-8000-{n:012}'"), if n == 0 { "NULL" } else { "'ÉLODIE Ünal'" }),
            false => (format!("x'0000000000007000800{n:013}'"), if n == 0 { "NULL" } else { "'ÉLODIE Ünal'" }),
        };
        let user = format!("'u{n:03}', 'u{n:03}', 'u{n}@x.org', 'u{n}@x.org', '', {name}, TRUE");
        let columns =
            "id, username, username_key, email, email_key, password_hash, full_name, is_active, created_at, updated_at";
        let now = "'2026-11-20 09:30:00+00:00', '2026-11-20 09:30:00+00:00'";
        rows.execute_unprepared(&format!("INSERT INTO users ({columns}) VALUES ({id}, {user}, {now})")).await.unwrap();
    }
    rows.close().await.unwrap();
    run(database.url(), Step::Up(None)).await.unwrap();
    let rows = Database::connect(database.url(), 2).await.unwrap();
    let users = user::Entity::find().order_by_asc(user::Column::UsernameKey).all(rows.reader()).await.unwrap();
    let keys: Vec<Option<&str>> = users.iter().map(|user| user.full_name_key.as_deref()).collect();
    assert_eq!((keys.len(), keys[0]), (502, None));
    assert!(keys[1..].iter().all(|key| *key == Some("élodie ünal")), "{keys:?}");
    rows.close().await;
});
