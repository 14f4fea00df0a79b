//! Queries on the leases of nodes, by the database's clock. Only PostgreSQL is used by more than one node.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm::{DbBackend, Statement};

use crate::entity::ids::BootId;
use crate::entity::node::Entity;

/// Extends a node's lease to `lease` from now.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn renew(db: &impl ConnectionTrait, boot: BootId, lease: Duration) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO nodes (boot_id, alive_until) VALUES ($1, {} + $2) \
         ON CONFLICT (boot_id) DO UPDATE SET alive_until = excluded.alive_until, claimed_until = NULL",
        now(db)
    );
    let values = [boot.into(), milliseconds(lease).into()];
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await.map(drop)
}

/// Deletes a node.
pub async fn delete(db: &impl ConnectionTrait, boot: BootId) -> Result<(), DbErr> {
    Entity::delete_by_id(boot).exec(db).await.map(drop)
}

/// Claims a node whose lease has expired, for the duration `claim`. No other node can claim it meanwhile.
pub async fn claim_expired(db: &impl ConnectionTrait, claim: Duration) -> Result<Option<BootId>, DbErr> {
    let (now, skip_locked) = (now(db), if is_postgres(db) { "FOR UPDATE SKIP LOCKED" } else { "" });
    let sql = format!(
        "UPDATE nodes SET claimed_until = {now} + $1 WHERE boot_id = (SELECT boot_id FROM nodes WHERE alive_until < {now} \
         AND (claimed_until IS NULL OR claimed_until < {now}) ORDER BY alive_until LIMIT 1 {skip_locked}) RETURNING boot_id"
    );
    let values = [milliseconds(claim).into()];
    let row = db.query_one_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    row.map(|row| row.try_get("", "boot_id").map(BootId)).transpose()
}

/// Extends a claim on a node, and locks its row until the transaction ends, so that the node cannot renew its lease
/// meanwhile. Returns false if the lease was renewed or the row was deleted.
pub async fn extend_claim(db: &impl ConnectionTrait, dead: BootId, claim: Duration) -> Result<bool, DbErr> {
    let now = now(db);
    let sql = format!("UPDATE nodes SET claimed_until = {now} + $1 WHERE boot_id = $2 AND alive_until < {now}");
    let values = [milliseconds(claim).into(), dead.into()];
    let extended = db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    Ok(extended.rows_affected() > 0)
}

/// Inserts an expired lease for each of these nodes that has no row, so that it can be claimed like any dead node.
pub async fn adopt(db: &impl ConnectionTrait, nodes: &[BootId]) -> Result<(), DbErr> {
    for node in nodes {
        let sql = "INSERT INTO nodes (boot_id, alive_until) VALUES ($1, 0) ON CONFLICT (boot_id) DO NOTHING";
        db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, [(*node).into()])).await?;
    }
    Ok(())
}

/// The database's clock, in Unix milliseconds.
fn now(db: &impl ConnectionTrait) -> &'static str {
    match is_postgres(db) {
        true => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        false => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    }
}

fn is_postgres(db: &impl ConnectionTrait) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
