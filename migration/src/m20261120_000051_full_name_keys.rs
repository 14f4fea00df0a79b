//! A key for case-insensitive searches of full names, on both databases: `full_name_key` is the folded form. Existing
//! rows are folded here, because SQLite only folds ASCII, and PostgreSQL depends on its locale.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::prelude::Uuid;

/// The number of rows that are loaded at once.
const BATCH: u64 = 500;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("users").add_column(text_null("full_name_key")).to_owned()).await?;
        let mut last = Uuid::nil();
        loop {
            let mut named = Query::select();
            named.columns(["id", "full_name"]).from("users").order_by("id", Order::Asc).limit(BATCH);
            named.and_where(Expr::col("full_name").is_not_null()).and_where(Expr::col("id").gt(last));
            let rows = manager.get_connection().query_all(&named).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                last = row.try_get("", "id")?;
                let name: String = row.try_get("", "full_name")?;
                let mut fold = Query::update();
                fold.table("users").value("full_name_key", name.to_lowercase()).and_where(Expr::col("id").eq(last));
                manager.execute(fold).await?;
            }
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("users").drop_column("full_name_key").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
