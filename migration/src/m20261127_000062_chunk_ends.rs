//! The end position of each chunk, so that a read can begin with the chunk that contains a position and stop at a gap.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let end = integer("end_position").default(0).take();
        manager.alter_table(Table::alter().table("reply_chunks").add_column(end).to_owned()).await?;
        let db = manager.get_connection();
        let bytes = match db.get_database_backend() {
            DbBackend::Postgres => "octet_length(body)",
            _ => "length(CAST(body AS BLOB))",
        };
        // Text (0) and reasoning (1) count their bytes; a call and a result count as one.
        let update =
            format!(r#"UPDATE reply_chunks SET end_position = "start" + CASE WHEN kind < 2 THEN {bytes} ELSE 1 END"#);
        db.execute_unprepared(&update).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("reply_chunks").drop_column("end_position").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
