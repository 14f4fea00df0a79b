//! The index of deleted chats by their ids: the sweep goes through them in this order, and skips those that have a
//! reply that is still running.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, "id").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, "deleted_at").await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn replace(manager: &SchemaManager<'_>, column: &str) -> Result<(), DbErr> {
    let db = manager.get_connection();
    db.execute_unprepared("DROP INDEX chats_deleted").await?;
    let index = format!("CREATE INDEX chats_deleted ON chats ({column}) WHERE deleted_at IS NOT NULL");
    db.execute_unprepared(&index).await.map(drop)
}
