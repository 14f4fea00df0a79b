//! `characters.deleted_at` hides a character until a sweep has removed it from its chats.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let deleted_at = timestamp_with_time_zone_null("deleted_at");
        manager.alter_table(Table::alter().table("characters").add_column(deleted_at).to_owned()).await?;
        let deleted = "CREATE INDEX characters_deleted ON characters (deleted_at) WHERE deleted_at IS NOT NULL";
        manager.get_connection().execute_unprepared(deleted).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("characters_deleted").table("characters").to_owned()).await?;
        manager.alter_table(Table::alter().table("characters").drop_column("deleted_at").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
