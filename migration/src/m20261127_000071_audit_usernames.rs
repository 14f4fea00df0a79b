//! Removes the usernames from the audit log: a deleted account leaves none behind. `user.created` is the only action
//! that had one.

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

    /// What was removed does not come back; nothing reads it.
    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
