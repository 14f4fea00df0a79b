//! How far the title of a chat is: 0 before the first complete reply, 1 with an excerpt, 2 while the model writes a
//! title, 3 when it is final. A chat that has a title keeps it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let state = small_integer("title_state").default(0).take();
        manager.alter_table(Table::alter().table("chats").add_column(state).to_owned()).await?;
        let titled = "UPDATE chats SET title_state = 3 WHERE title IS NOT NULL";
        manager.get_connection().execute_unprepared(titled).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("chats").drop_column("title_state").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
