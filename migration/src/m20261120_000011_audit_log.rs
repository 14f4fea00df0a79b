//! The audit log: administrative actions and security events. Without foreign keys, because entries outlive the objects
//! that they refer to. `repeat_key` identifies failures that share one entry, and `occurrences` is their number.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit_log")
                    .col(uuid("id").primary_key())
                    .col(timestamp_with_time_zone("created_at"))
                    .col(uuid_null("actor_id"))
                    .col(string_len("action", 64))
                    .col(string_len_null("subject_id", 96))
                    .col(string_len_null("ip_address", 45))
                    .col(text("detail"))
                    .col(string_len_null("repeat_key", 255).unique_key())
                    .col(integer("occurrences"))
                    .to_owned(),
            )
            .await?;
        for (name, column) in [
            ("audit_log_by_actor", "actor_id"),
            ("audit_log_by_action", "action"),
            ("audit_log_by_subject", "subject_id"),
            ("audit_log_by_age", "created_at"),
        ] {
            manager
                .create_index(Index::create().name(name).table("audit_log").col(column).col("id").to_owned())
                .await?;
        }
        let failures = "CREATE INDEX audit_log_failures ON audit_log (id) WHERE repeat_key IS NOT NULL";
        manager.get_connection().execute_unprepared(failures).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit_log").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
