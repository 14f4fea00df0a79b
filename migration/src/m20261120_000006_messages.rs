//! Messages: one tree per chat. `jump_id` is a skew-binary ancestor pointer (Myers, 1983), by which any ancestor is
//! found in a logarithmic number of steps. The content of a streaming reply is in `reply_chunks` until it ends.

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
                    .table("messages")
                    .col(uuid("id").primary_key())
                    .col(uuid("chat_id"))
                    .col(uuid_null("parent_id"))
                    .col(integer("depth"))
                    .col(uuid("jump_id"))
                    .col(integer("jump_depth"))
                    .col(boolean("is_leaf"))
                    .col(small_integer("role"))
                    .col(small_integer("status"))
                    .col(text("body"))
                    .col(text_null("layout"))
                    .col(integer("branch_tokens"))
                    .col(text_null("idempotency_key"))
                    .col(uuid_null("boot_id"))
                    .col(boolean("is_stop_requested"))
                    .col(text_null("model_id"))
                    .col(small_integer_null("finish_reason"))
                    .col(small_integer_null("error_code"))
                    .col(integer_null("input_tokens"))
                    .col(integer_null("output_tokens"))
                    .col(integer_null("cached_input_tokens"))
                    .col(boolean("is_usage_estimate"))
                    .col(big_integer_null("cost_nanodollars"))
                    .col(integer_null("time_to_first_token_ms"))
                    .col(integer_null("duration_ms"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone_null("completed_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("messages", "chat_id")
                            .to("chats", "id")
                            .on_delete(ForeignKeyAction::NoAction),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("messages", "parent_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::NoAction),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("messages_by_parent").table("messages").col("parent_id").col("id").to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("messages_by_depth")
                    .table("messages")
                    .col("chat_id")
                    .col("depth")
                    .col("id")
                    .to_owned(),
            )
            .await?;
        let connection = manager.get_connection();
        connection.execute_unprepared("CREATE INDEX messages_leaves ON messages (chat_id, id) WHERE is_leaf").await?;
        connection.execute_unprepared("CREATE INDEX messages_streaming ON messages (chat_id) WHERE status = 1").await?;
        manager
            .create_table(
                Table::create()
                    .table("tool_calls")
                    .col(uuid("id").primary_key())
                    .col(uuid("message_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("tool_calls", "message_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let by_message = Index::create().name("tool_calls_by_message").table("tool_calls").col("message_id").to_owned();
        manager.create_index(by_message).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("tool_calls").to_owned()).await?;
        manager.drop_table(Table::drop().table("messages").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
