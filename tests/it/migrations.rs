//! Migrations go up, down and up again, on both databases.

use duologue::storage::migrations::{Step, run, status};

use crate::support::database::on_both_databases;

on_both_databases!(up_down_up, |database| async move {
    run(database.url(), Step::Up(None)).await.unwrap();
    let all = status(database.url()).await.unwrap();
    assert!(!all.is_empty() && all.iter().all(|(_, applied)| *applied), "{all:?}");

    run(database.url(), Step::Down(1)).await.unwrap();
    let pending: Vec<bool> = status(database.url()).await.unwrap().iter().map(|(_, applied)| !applied).collect();
    assert_eq!(pending.iter().filter(|pending| **pending).count(), 1);
    assert_eq!(pending.last(), Some(&true), "the newest is taken back first");

    run(database.url(), Step::Down(u32::try_from(all.len()).unwrap())).await.unwrap();
    assert!(status(database.url()).await.unwrap().iter().all(|(_, applied)| !applied));
    run(database.url(), Step::Up(None)).await.unwrap();
    run(database.url(), Step::Fresh).await.unwrap();
    assert!(status(database.url()).await.unwrap().iter().all(|(_, applied)| *applied));
});

on_both_databases!(started_at_once_they_wait_for_one_another, |database| async move {
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
