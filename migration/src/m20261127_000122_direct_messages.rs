//! Direct messages between two users. A conversation has one row for each of its users, with what this user sees of it.
//! The row of a deleted user is removed. `other_id` and `sender_id` may therefore name a user that no longer exists.

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
                    .table("conversations")
                    .col(uuid("id"))
                    .col(uuid("user_id"))
                    .col(uuid("other_id"))
                    .col(uuid_null("last_message_id"))
                    .col(integer("message_count"))
                    .col(integer("unread_count"))
                    .col(timestamp_with_time_zone_null("read_until"))
                    .col(timestamp_with_time_zone_null("other_read_until"))
                    .col(timestamp_with_time_zone("active_at"))
                    .primary_key(Index::create().col("id").col("user_id"))
                    .foreign_key(ForeignKey::create().from("conversations", "user_id").to("users", "id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("direct_messages")
                    .col(uuid("id").primary_key())
                    .col(uuid("conversation_id"))
                    .col(uuid("sender_id"))
                    .col(text("content"))
                    .col(uuid_null("parent_id"))
                    .col(text_null("idempotency_key"))
                    .col(timestamp_with_time_zone("created_at"))
                    .to_owned(),
            )
            .await?;
        for (name, table, columns, is_unique) in [
            // One conversation for each pair of users.
            ("conversations_by_users", "conversations", ["user_id", "other_id"].as_slice(), true),
            ("conversations_by_activity", "conversations", &["user_id", "active_at", "id"], false),
            // The times of the messages of a conversation are different, so that a time is a position in it.
            ("direct_messages_by_time", "direct_messages", &["conversation_id", "created_at"], true),
        ] {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            if is_unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("direct_messages").to_owned()).await?;
        manager.drop_table(Table::drop().table("conversations").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
