//! Deleted users: hidden from `deleted_at` on, while a sweep removes their data in batches.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = timestamp_with_time_zone_null("deleted_at");
        manager.alter_table(Table::alter().table("users").add_column(column).to_owned()).await?;
        let deleted = "CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL";
        manager.get_connection().execute_unprepared(deleted).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("users_deleted").table("users").to_owned()).await?;
        manager.alter_table(Table::alter().table("users").drop_column("deleted_at").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
