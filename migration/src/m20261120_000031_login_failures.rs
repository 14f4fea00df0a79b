//! Failed sign-ins by account and source, and the networks that users have signed in from.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let failures = Table::create()
            .table("login_failures")
            .col(binary_len("account_key", 32))
            .col(string_len("source", 45))
            .col(uuid_null("user_id"))
            .col(integer("failures"))
            .col(timestamp_with_time_zone("expires_at"))
            .primary_key(Index::create().col("account_key").col("source"))
            .to_owned();
        manager.create_table(failures).await?;
        for (name, column) in [("login_failures_by_user", "user_id"), ("login_failures_by_expiry", "expires_at")] {
            manager.create_index(Index::create().name(name).table("login_failures").col(column).to_owned()).await?;
        }
        let networks = Table::create()
            .table("login_networks")
            .col(uuid("user_id"))
            .col(string_len("network", 45))
            .col(timestamp_with_time_zone("last_used_at"))
            .primary_key(Index::create().col("user_id").col("network"))
            .foreign_key(
                ForeignKey::create()
                    .from("login_networks", "user_id")
                    .to("users", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(networks).await?;
        let by_age =
            Index::create().name("login_networks_by_age").table("login_networks").col("last_used_at").to_owned();
        manager.create_index(by_age).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["login_networks", "login_failures"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
