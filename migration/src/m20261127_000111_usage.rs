//! The usage ledger and its totals. Ledger entries have no foreign keys, because they survive the deletion of chats and
//! users. Replies that ended before are entered as far as their messages record them: without the prices that applied.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("usage_ledger")
                    .col(uuid("id").primary_key())
                    .col(small_integer("kind"))
                    .col(uuid_null("user_id"))
                    .col(uuid_null("chat_id"))
                    .col(uuid_null("character_id"))
                    .col(text("model_id"))
                    .col(timestamp_with_time_zone("started_at"))
                    .col(integer("input_tokens"))
                    .col(integer("cached_input_tokens"))
                    .col(integer("output_tokens"))
                    .col(boolean("is_estimate"))
                    .col(big_integer_null("input_price"))
                    .col(big_integer_null("cached_input_price"))
                    .col(big_integer_null("output_price"))
                    .col(big_integer_null("cost_nanodollars"))
                    .col(integer_null("time_to_first_token_ms"))
                    .col(integer_null("duration_ms"))
                    .col(small_integer("outcome"))
                    .col(small_integer_null("error_code"))
                    .to_owned(),
            )
            .await?;
        let index = |name: &str, columns: &[&'static str]| {
            let mut index = Index::create().name(name).table("usage_ledger").to_owned();
            columns.iter().for_each(|column| {
                index.col(*column);
            });
            index
        };
        manager.create_index(index("usage_ledger_by_start", &["started_at"])).await?;
        manager.create_index(index("usage_ledger_by_user", &["user_id", "started_at"])).await?;
        let key = ["dimension", "span", "start", "user_id", "model_id", "character_id"];
        let mut primary_key = Index::create();
        key.iter().for_each(|column| {
            primary_key.col(*column);
        });
        let mut totals = Table::create()
            .table("usage_totals")
            .col(small_integer("dimension"))
            .col(small_integer("span"))
            .col(integer("start"))
            .col(uuid("user_id"))
            .col(text("model_id"))
            .col(uuid("character_id"))
            .col(big_integer("reply_count"))
            .col(big_integer("failed_reply_count"))
            .col(big_integer("input_tokens"))
            .col(big_integer("output_tokens"))
            .col(big_integer("cost_nanodollars"))
            .primary_key(&mut primary_key)
            .to_owned();
        if manager.get_database_backend() == DbBackend::Sqlite {
            totals.extra("WITHOUT ROWID");
        }
        manager.create_table(totals).await?;
        let connection = manager.get_connection();
        let by_user = "CREATE INDEX usage_totals_by_user ON usage_totals (user_id, span, start) WHERE dimension = 0";
        connection.execute_unprepared(by_user).await?;
        for statement in enter_ended_replies(manager.get_database_backend()) {
            connection.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("usage_totals").to_owned()).await?;
        manager.drop_table(Table::drop().table("usage_ledger").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The statements that enter the replies that ended before, and their totals. Their time is proportional to the number
/// of messages.
fn enter_ended_replies(backend: DbBackend) -> Vec<String> {
    // Assistant messages with a model that are not STREAMING. A greeting has no model.
    let entries = "INSERT INTO usage_ledger (id, kind, user_id, chat_id, character_id, model_id, started_at, \
         input_tokens, cached_input_tokens, output_tokens, is_estimate, cost_nanodollars, time_to_first_token_ms, \
         duration_ms, outcome, error_code) \
         SELECT m.id, 0, c.owner_id, m.chat_id, c.character_id, m.model_id, m.created_at, COALESCE(m.input_tokens, 0), \
         COALESCE(m.cached_input_tokens, 0), COALESCE(m.output_tokens, 0), m.is_usage_estimate, m.cost_nanodollars, \
         m.time_to_first_token_ms, m.duration_ms, m.status, m.error_code \
         FROM messages m JOIN chats c ON c.id = m.chat_id \
         WHERE m.role = 1 AND m.model_id IS NOT NULL AND m.status <> 1";
    let (seconds, month, none) = match backend {
        DbBackend::Sqlite => (
            "CAST(strftime('%s', started_at) AS INTEGER)",
            "CAST(strftime('%Y', started_at) AS INTEGER) * 12 + CAST(strftime('%m', started_at) AS INTEGER) - 1",
            "x'00000000000000000000000000000000'",
        ),
        _ => (
            "CAST(FLOOR(EXTRACT(EPOCH FROM started_at)) AS BIGINT)",
            "CAST(EXTRACT(YEAR FROM started_at AT TIME ZONE 'UTC') * 12 \
             + EXTRACT(MONTH FROM started_at AT TIME ZONE 'UTC') - 1 AS INTEGER)",
            "CAST('00000000-0000-0000-0000-000000000000' AS UUID)",
        ),
    };
    let spans = [format!("{seconds} / 3600"), format!("{seconds} / 86400"), month.to_owned()];
    let character = format!("COALESCE(character_id, {none})");
    let dimensions = [
        [format!("COALESCE(user_id, {none})"), "model_id".to_owned(), character.clone()],
        [none.to_owned(), "model_id".to_owned(), none.to_owned()],
        [none.to_owned(), "''".to_owned(), character],
    ];
    let mut statements = vec![entries.to_owned()];
    for (dimension, [user, model, character]) in dimensions.iter().enumerate() {
        for (span, start) in spans.iter().enumerate() {
            // The columns of the derived table, because PostgreSQL does not group by constants.
            statements.push(format!(
                "INSERT INTO usage_totals (dimension, span, start, user_id, model_id, character_id, reply_count, \
                 failed_reply_count, input_tokens, output_tokens, cost_nanodollars) \
                 SELECT {dimension}, {span}, start, u, m, c, COUNT(*), \
                 SUM(CASE WHEN outcome IN (3, 4) THEN 1 ELSE 0 END), SUM(input_tokens), SUM(output_tokens), \
                 SUM(COALESCE(cost_nanodollars, 0)) \
                 FROM (SELECT {start} AS start, {user} AS u, {model} AS m, {character} AS c, outcome, input_tokens, \
                 output_tokens, cost_nanodollars FROM usage_ledger) AS entries GROUP BY start, u, m, c"
            ));
        }
    }
    statements
}
