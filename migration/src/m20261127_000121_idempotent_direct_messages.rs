//! Idempotency keys of `sendDirectMessage`: the result of a call is a direct message, or a chat as before. SQLite
//! cannot make a column nullable, so the table is copied.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

/// The columns of both versions.
const COLUMNS: [&str; 8] = ["user_id", "field", "key", "input_hash", "chat_id", "message_id", "reply_id", "created_at"];
const COPY: &str = "idempotency_keys_copy";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = table(uuid_null("chat_id"));
        replace(manager, table.col(uuid_null("direct_message_id"))).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut delete = Query::delete();
        delete.from_table("idempotency_keys").and_where(Expr::col("chat_id").is_null());
        manager.execute(delete).await?;
        replace(manager, &mut table(uuid("chat_id"))).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn table(chat_id: ColumnDef) -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(COPY)
        .col(uuid("user_id"))
        .col(string_len("field", 32))
        .col(string_len("key", 255))
        .col(binary_len("input_hash", 32))
        .col(chat_id)
        .col(uuid_null("message_id"))
        .col(uuid_null("reply_id"))
        .col(timestamp_with_time_zone("created_at"))
        .primary_key(Index::create().col("user_id").col("field").col("key"))
        .foreign_key(ForeignKey::create().from(COPY, "user_id").to("users", "id").on_delete(ForeignKeyAction::Cascade));
    table
}

async fn replace(manager: &SchemaManager<'_>, table: &mut TableCreateStatement) -> Result<(), DbErr> {
    manager.create_table(table.take()).await?;
    let mut rows = Query::select();
    rows.columns(COLUMNS).from("idempotency_keys");
    let mut copy = Query::insert();
    copy.into_table(COPY).columns(COLUMNS).select_from(rows).map_err(|cause| DbErr::Custom(cause.to_string()))?;
    manager.execute(copy).await?;
    manager.drop_table(Table::drop().table("idempotency_keys").to_owned()).await?;
    manager.rename_table(Table::rename().table(COPY, "idempotency_keys").to_owned()).await?;
    let index = Index::create().name("idempotency_keys_by_age").table("idempotency_keys").col("created_at").to_owned();
    manager.create_index(index).await
}
