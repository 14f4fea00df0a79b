//! Roles, their assignment to users, and the built-in roles `admin` and `user`.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::prelude::Uuid;

const ADMIN: Uuid = Uuid::from_u128(0x0193_4000_0000_7000_8000_0000_0000_0001);
const USER: Uuid = Uuid::from_u128(0x0193_4000_0000_7000_8000_0000_0000_0002);

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("roles")
                    .col(uuid("id").primary_key())
                    .col(string_len("name", 64).unique_key())
                    .col(text_null("description"))
                    .col(text("permissions"))
                    .col(boolean("is_built_in"))
                    .col(timestamp_with_time_zone("created_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("user_roles")
                    .col(uuid("user_id"))
                    .col(uuid("role_id"))
                    .primary_key(Index::create().col("user_id").col("role_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("user_roles", "user_id")
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("user_roles", "role_id")
                            .to("roles", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("user_roles_by_role").table("user_roles").col("role_id").to_owned())
            .await?;
        let everything =
            "USERS_READ USERS_WRITE ROLES_WRITE CHATS_READ CHARACTERS_WRITE PROMPTS_WRITE STATS_READ AUDIT_READ";
        let insert = Query::insert()
            .into_table("roles")
            .columns(["id", "name", "description", "permissions", "is_built_in", "created_at"])
            .values_panic([
                ADMIN.into(),
                "admin".into(),
                "May do everything.".into(),
                everything.into(),
                true.into(),
                Expr::current_timestamp(),
            ])
            .values_panic([
                USER.into(),
                "user".into(),
                "Everybody with an account.".into(),
                "".into(),
                true.into(),
                Expr::current_timestamp(),
            ])
            .to_owned();
        manager.execute(insert).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("user_roles").to_owned()).await?;
        manager.drop_table(Table::drop().table("roles").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
