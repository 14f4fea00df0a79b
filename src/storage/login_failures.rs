//! Queries on failed sign-ins, and on the networks that accounts have signed in from.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ExprTrait as _, QueryOrder as _, QuerySelect as _};

use crate::entity::ids::UserId;
use crate::entity::login_failure::{ActiveModel, Column, Entity, Model};
use crate::entity::login_network;

/// The source value for the count over all sources.
pub const EVERYWHERE: &str = "";

/// The failures of an account from one source, and those from all sources, unless expired.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find(
    db: &impl ConnectionTrait,
    account_key: &[u8],
    source: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::AccountKey.eq(account_key))
        .filter(Column::Source.is_in([source, EVERYWHERE]))
        .filter(Column::ExpiresAt.gt(now))
        .all(db)
        .await
}

/// Counts a failure and returns the new count. Returns none and counts nothing if the count is `limit` already and the
/// last failure was after `counts_again`. Expired failures are not included. The row stays locked until the transaction
/// ends.
pub async fn count(
    db: &impl ConnectionTrait,
    failure: Model,
    limit: i32,
    counts_again: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<i32>, DbErr> {
    let stored = |column| Expr::col((Entity, column));
    let failures = Expr::case(stored(Column::ExpiresAt).lte(now), 1).finally(stored(Column::Failures).add(1));
    let is_open = stored(Column::Failures).lt(limit).or(stored(Column::ExpiresAt).lte(counts_again));
    let again = OnConflict::columns([Column::AccountKey, Column::Source])
        .value(Column::Failures, failures)
        .value(Column::ExpiresAt, failure.expires_at)
        .value(Column::UserId, failure.user_id)
        .action_and_where(is_open)
        .to_owned();
    let insert = Entity::insert(ActiveModel::from(failure).reset_all()).on_conflict(again);
    match insert.exec_with_returning(db).await {
        Ok(row) => Ok(Some(row.failures)),
        Err(DbErr::RecordNotFound(_)) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Deletes the failures of an account from one source.
pub async fn forget(db: &impl ConnectionTrait, account_key: &[u8], source: &str) -> Result<(), DbErr> {
    let of = Entity::delete_many().filter(Column::AccountKey.eq(account_key)).filter(Column::Source.eq(source));
    of.exec(db).await.map(drop)
}

/// Deletes all failures of a user's account.
pub async fn forget_user(db: &impl ConnectionTrait, user_id: UserId) -> Result<u64, DbErr> {
    // Locked in the same order as when failures are counted: the source, then all sources.
    let rows = Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::AccountKey);
    rows.order_by_desc(Column::Source).lock_exclusive().all(db).await?;
    Ok(Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(db).await?.rows_affected)
}

/// The time until which each of these users is locked, for the source with the longest lock. Users without a lock are
/// left out.
pub async fn locked_until(
    db: &impl ConnectionTrait,
    users: &[UserId],
    attempts: i32,
    now: DateTime<Utc>,
) -> Result<Vec<(UserId, DateTime<Utc>)>, DbErr> {
    Entity::find()
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::Source.ne(EVERYWHERE))
        .filter(Column::Failures.gte(attempts))
        .filter(Column::ExpiresAt.gt(now))
        .select_only()
        .column(Column::UserId)
        .column_as(Column::ExpiresAt.max(), "until")
        .group_by(Column::UserId)
        .into_tuple()
        .all(db)
        .await
}

/// Deletes expired rows, and all but the newest `kept`.
pub async fn sweep(db: &impl ConnectionTrait, kept: u64, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await?;
    let newest_first = Entity::find().order_by_desc(Column::ExpiresAt).offset(kept).limit(1);
    let beyond: Option<DateTime<Utc>> =
        newest_first.select_only().column(Column::ExpiresAt).into_tuple().one(db).await?;
    if let Some(oldest) = beyond {
        Entity::delete_many().filter(Column::ExpiresAt.lte(oldest)).exec(db).await?;
    }
    Ok(())
}

/// Whether the user has signed in from this network.
pub async fn is_known_network(db: &impl ConnectionTrait, user_id: UserId, network: &str) -> Result<bool, DbErr> {
    Ok(login_network::Entity::find_by_id((user_id, network.to_owned())).one(db).await?.is_some())
}

/// Records a network of the user, and keeps only the `kept` most recently used ones.
pub async fn know_network(db: &impl ConnectionTrait, network: login_network::Model, kept: u64) -> Result<(), DbErr> {
    use login_network::{ActiveModel, Column, Entity};
    let user_id = network.user_id;
    let again = OnConflict::columns([Column::UserId, Column::Network]).update_column(Column::LastUsedAt).to_owned();
    let insert = Entity::insert(ActiveModel::from(network).reset_all()).on_conflict(again);
    insert.exec_without_returning(db).await?;
    let of_user = Entity::find().filter(Column::UserId.eq(user_id)).order_by_desc(Column::LastUsedAt);
    let beyond: Vec<String> =
        of_user.offset(kept).limit(kept).select_only().column(Column::Network).into_tuple().all(db).await?;
    if !beyond.is_empty() {
        let old = Entity::delete_many().filter(Column::UserId.eq(user_id)).filter(Column::Network.is_in(beyond));
        old.exec(db).await?;
    }
    Ok(())
}

/// Deletes networks that were last used before this time.
pub async fn forget_networks(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<(), DbErr> {
    use login_network::{Column, Entity};
    Entity::delete_many().filter(Column::LastUsedAt.lt(before)).exec(db).await.map(drop)
}
