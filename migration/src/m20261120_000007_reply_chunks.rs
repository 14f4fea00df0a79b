//! The saved content of running replies, in chunks. It moves into the message when the reply ends.

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
                    .table("reply_chunks")
                    .col(uuid("message_id"))
                    .col(integer("start"))
                    .col(small_integer("kind"))
                    .col(text("body"))
                    .primary_key(Index::create().col("message_id").col("start"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("reply_chunks", "message_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("reply_chunks").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
