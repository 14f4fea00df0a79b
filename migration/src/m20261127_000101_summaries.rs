//! Summaries of the older messages of a branch. A summary belongs to the last message that it covers, and covers all
//! ancestors of that message. `messages.checkpoint_id` is the nearest message at or above a message that has a summary.
//! `messages.token_ratio` corrects estimates of tokens: the tokens that the provider counted for 1,000 estimated ones.

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
                    .table("summaries")
                    .col(uuid("message_id").primary_key())
                    .col(text("content"))
                    .col(integer("tokens"))
                    .col(timestamp_with_time_zone("created_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("summaries", "message_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let checkpoint = uuid_null("checkpoint_id");
        manager.alter_table(Table::alter().table("messages").add_column(checkpoint).to_owned()).await?;
        let ratio = integer("token_ratio").default(1_000).take();
        manager.alter_table(Table::alter().table("messages").add_column(ratio).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["token_ratio", "checkpoint_id"] {
            manager.alter_table(Table::alter().table("messages").drop_column(column).to_owned()).await?;
        }
        manager.drop_table(Table::drop().table("summaries").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
