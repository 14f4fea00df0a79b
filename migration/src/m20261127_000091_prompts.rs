//! Prompts and their tags. `kind` is 0 for a template and 1 for a common prompt.

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
                    .table("prompts")
                    .col(uuid("id").primary_key())
                    .col(text("title"))
                    .col(text("title_key"))
                    .col(text("content"))
                    .col(small_integer("kind"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("updated_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("prompts_by_title").table("prompts").col("title_key").col("id").to_owned(),
            )
            .await?;
        let common = "CREATE INDEX prompts_common ON prompts (created_at, id) WHERE kind = 1";
        manager.get_connection().execute_unprepared(common).await?;
        manager
            .create_table(
                Table::create()
                    .table("prompt_tags")
                    .col(uuid("prompt_id"))
                    .col(string_len("tag", 64))
                    .col(integer("place"))
                    .primary_key(Index::create().col("prompt_id").col("tag"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("prompt_tags", "prompt_id")
                            .to("prompts", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("prompt_tags_by_tag").table("prompt_tags").col("tag").to_owned())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("prompt_tags").to_owned()).await?;
        manager.drop_table(Table::drop().table("prompts").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
