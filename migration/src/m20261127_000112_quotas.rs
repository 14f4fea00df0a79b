//! Quotas: monthly limits of users and roles, and the reservations of running replies.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["users", "roles"] {
            for column in ["cost_limit", "token_limit"] {
                let add = Table::alter().table(table).add_column(big_integer_null(column)).to_owned();
                manager.alter_table(add).await?;
            }
        }
        manager
            .create_table(
                Table::create()
                    .table("quota_reservations")
                    .col(uuid("message_id").primary_key())
                    .col(uuid("user_id"))
                    .col(integer("month"))
                    .col(big_integer("tokens"))
                    .col(big_integer("cost_nanodollars"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("quota_reservations", "message_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let by_user = Index::create()
            .name("quota_reservations_by_user")
            .table("quota_reservations")
            .col("user_id")
            .col("month")
            .to_owned();
        manager.create_index(by_user).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("quota_reservations").to_owned()).await?;
        for table in ["users", "roles"] {
            for column in ["cost_limit", "token_limit"] {
                manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
            }
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
