//! Chats. `leaf_id` is the last message of the active branch. `deleted_at` hides a chat until a sweep has removed it in
//! batches.

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
                    .table("chats")
                    .col(uuid("id").primary_key())
                    .col(uuid("owner_id"))
                    .col(text_null("title"))
                    .col(text_null("title_key"))
                    .col(uuid_null("character_id"))
                    .col(text("model_id"))
                    .col(boolean("is_pinned"))
                    .col(boolean("is_archived"))
                    .col(integer("message_count"))
                    .col(uuid_null("leaf_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("updated_at"))
                    .col(timestamp_with_time_zone("active_at"))
                    .col(timestamp_with_time_zone_null("deleted_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("chats", "owner_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::NoAction),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("chats", "character_id")
                            .to("characters", "id")
                            .on_delete(ForeignKeyAction::SetNull),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("chats_by_activity")
                    .table("chats")
                    .col("owner_id")
                    .col("active_at")
                    .col("id")
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("chats_by_character").table("chats").col("character_id").to_owned())
            .await?;
        let deleted = "CREATE INDEX chats_deleted ON chats (deleted_at) WHERE deleted_at IS NOT NULL";
        manager.get_connection().execute_unprepared(deleted).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("chats").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
