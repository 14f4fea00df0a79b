//! The full-text index of messages. Words are separated by spaces and contain no other separators; the databases do not
//! fold them. `message_search_backfill` has a row until all messages that were written before are indexed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::DbBackend;
use sea_orm_migration::sea_orm::prelude::Uuid;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The index of SQLite, which triggers keep equal to `message_search`. With `secure-delete`, deleted words are
/// overwritten.
const SQLITE: &str = "
    CREATE VIRTUAL TABLE message_words USING fts5(words, content = 'message_search', content_rowid = 'key', \
        columnsize = 0, tokenize = \"ascii tokenchars '@#'\");
    INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', 1);
    CREATE TRIGGER message_search_inserted AFTER INSERT ON message_search BEGIN
        INSERT INTO message_words (rowid, words) VALUES (new.key, new.words);
    END;
    CREATE TRIGGER message_search_deleted AFTER DELETE ON message_search BEGIN
        INSERT INTO message_words (message_words, rowid, words) VALUES ('delete', old.key, old.words);
    END;";

/// The index of PostgreSQL. Searches read the list of pending entries, so it is kept short (in kB).
const POSTGRES: &str = "
    CREATE INDEX message_search_words ON message_search USING gin (ARRAY_TO_TSVECTOR(STRING_TO_ARRAY(words, ' '))) \
        WITH (gin_pending_list_limit = 256);
    CREATE INDEX message_search_by_owner ON message_search (owner_id, key);";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("message_search")
                    .col(big_integer("key").primary_key().auto_increment())
                    .col(uuid("message_id").unique_key())
                    .col(uuid("owner_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(text("words"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("message_search", "message_id")
                            .to("messages", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        manager.get_connection().execute_unprepared(if is_postgres { POSTGRES } else { SQLITE }).await?;
        let backfill = Table::create().table("message_search_backfill").col(uuid("before_id").primary_key()).to_owned();
        manager.create_table(backfill).await?;
        let mut all = Query::insert();
        all.into_table("message_search_backfill").columns(["before_id"]).values_panic([Uuid::max().into()]);
        manager.execute(all).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("message_search_backfill").to_owned()).await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            manager.get_connection().execute_unprepared("DROP TABLE message_words").await?;
        }
        manager.drop_table(Table::drop().table("message_search").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
