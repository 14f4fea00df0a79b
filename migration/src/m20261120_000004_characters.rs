//! Characters and their tags.

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
                    .table("characters")
                    .col(uuid("id").primary_key())
                    .col(uuid_null("owner_id"))
                    .col(text("name"))
                    .col(text("name_key"))
                    .col(text_null("description"))
                    .col(text_null("avatar_url"))
                    .col(text_null("greeting"))
                    .col(text("system_prompt"))
                    .col(text_null("model_id"))
                    .col(double_null("temperature"))
                    .col(integer_null("max_output_tokens"))
                    .col(boolean("is_public"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("updated_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("characters", "owner_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("characters_by_name").table("characters").col("name_key").col("id").to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("characters_by_owner").table("characters").col("owner_id").to_owned())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("character_tags")
                    .col(uuid("character_id"))
                    .col(string_len("tag", 64))
                    .col(integer("place"))
                    .primary_key(Index::create().col("character_id").col("tag"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("character_tags", "character_id")
                            .to("characters", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("character_tags_by_tag").table("character_tags").col("tag").to_owned())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("character_tags").to_owned()).await?;
        manager.drop_table(Table::drop().table("characters").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
