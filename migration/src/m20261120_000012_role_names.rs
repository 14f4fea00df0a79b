//! Role names are unique without regard to case: `name_key` is the folded form. Also the index by which admins list all
//! users' chats by activity.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name_key = string_len("name_key", 64).default("").to_owned();
        manager.alter_table(Table::alter().table("roles").add_column(name_key).to_owned()).await?;
        // Only the built-in roles exist, and their names are lower case.
        let fold = Query::update().table("roles").value("name_key", Expr::col("name")).to_owned();
        manager.execute(fold).await?;
        let unique = Index::create().name("roles_by_name").table("roles").col("name_key").unique().to_owned();
        manager.create_index(unique).await?;
        let by_activity = "CREATE INDEX chats_by_activity_of_all ON chats (active_at, id) WHERE deleted_at IS NULL";
        manager.get_connection().execute_unprepared(by_activity).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("chats_by_activity_of_all").table("chats").to_owned()).await?;
        manager.drop_index(Index::drop().name("roles_by_name").table("roles").to_owned()).await?;
        manager.alter_table(Table::alter().table("roles").drop_column("name_key").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
