//! Removes usernames from the audit log, so that none remains after an account is deleted. Only `user.created` entries
//! had one.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let without = match manager.get_database_backend() {
            DbBackend::Sqlite => "json_remove(detail, '$.username')",
            _ => "(detail::jsonb - 'username')::text",
        };
        let update = format!("UPDATE audit_log SET detail = {without} WHERE action = 'user.created'");
        manager.get_connection().execute_unprepared(&update).await.map(drop)
    }

    /// The removed names cannot be restored; nothing reads them.
    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
