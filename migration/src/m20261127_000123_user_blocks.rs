//! Users who have blocked other users. Neither can send direct messages to the other.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let user = |column: &'static str| {
            let mut key = ForeignKey::create();
            key.from("user_blocks", column).to("users", "id").on_delete(ForeignKeyAction::Cascade);
            key
        };
        manager
            .create_table(
                Table::create()
                    .table("user_blocks")
                    .col(uuid("blocker_id"))
                    .col(uuid("blocked_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .primary_key(Index::create().col("blocker_id").col("blocked_id"))
                    .foreign_key(&mut user("blocker_id"))
                    .foreign_key(&mut user("blocked_id"))
                    .to_owned(),
            )
            .await?;
        let index = Index::create().name("user_blocks_by_blocked").table("user_blocks").col("blocked_id").to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("user_blocks").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
