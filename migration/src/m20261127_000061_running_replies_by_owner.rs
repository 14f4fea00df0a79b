//! The index of running replies starts with their owner, because a node only queries its own.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

async fn replace(manager: &SchemaManager<'_>, columns: &str) -> Result<(), DbErr> {
    manager.drop_index(Index::drop().name("messages_running").table("messages").to_owned()).await?;
    let running = format!("CREATE INDEX messages_running ON messages ({columns}) WHERE status = 1");
    manager.get_connection().execute_unprepared(&running).await.map(drop)
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, "boot_id, id").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, "id, boot_id").await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
