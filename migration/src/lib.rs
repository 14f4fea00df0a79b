//! The database schema of duologue: one migration per file, each with a `down`. Append-only: a released migration never
//! changes. All migrations run on SQLite and PostgreSQL.

pub use sea_orm_migration::MigrationStatus;
pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261120_000001_users;
mod m20261120_000002_roles;
mod m20261120_000003_sessions;
mod m20261120_000004_characters;
mod m20261120_000005_chats;
mod m20261120_000006_messages;
mod m20261120_000007_reply_chunks;
mod m20261120_000008_idempotency_keys;
mod m20261120_000009_nodes;
mod m20261120_000010_default_characters;
mod m20261120_000011_audit_log;
mod m20261120_000012_role_names;
mod m20261120_000021_deleted_users;
mod m20261120_000022_personal_access_tokens;
mod m20261120_000023_password_resets;
mod m20261120_000031_login_failures;
mod m20261120_000041_running_replies;
mod m20261120_000051_full_name_keys;
mod m20261127_000061_running_replies_by_owner;
mod m20261127_000062_chunk_ends;
mod m20261127_000063_claimed_nodes;
mod m20261127_000071_audit_usernames;
mod m20261127_000081_message_ratings;
mod m20261127_000082_deleted_chats_by_id;
mod m20261127_000091_prompts;
mod m20261127_000092_deleted_characters;
mod m20261127_000093_message_search;
mod m20261127_000101_summaries;
mod m20261127_000102_title_states;
mod m20261127_000111_usage;
mod m20261127_000112_quotas;
mod m20261127_000121_idempotent_direct_messages;
mod m20261127_000122_direct_messages;
mod m20261127_000123_user_blocks;

/// The migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_users::Migration),
            Box::new(m20261120_000002_roles::Migration),
            Box::new(m20261120_000003_sessions::Migration),
            Box::new(m20261120_000004_characters::Migration),
            Box::new(m20261120_000005_chats::Migration),
            Box::new(m20261120_000006_messages::Migration),
            Box::new(m20261120_000007_reply_chunks::Migration),
            Box::new(m20261120_000008_idempotency_keys::Migration),
            Box::new(m20261120_000009_nodes::Migration),
            Box::new(m20261120_000010_default_characters::Migration),
            Box::new(m20261120_000011_audit_log::Migration),
            Box::new(m20261120_000012_role_names::Migration),
            Box::new(m20261120_000021_deleted_users::Migration),
            Box::new(m20261120_000022_personal_access_tokens::Migration),
            Box::new(m20261120_000023_password_resets::Migration),
            Box::new(m20261120_000031_login_failures::Migration),
            Box::new(m20261120_000041_running_replies::Migration),
            Box::new(m20261120_000051_full_name_keys::Migration),
            Box::new(m20261127_000061_running_replies_by_owner::Migration),
            Box::new(m20261127_000062_chunk_ends::Migration),
            Box::new(m20261127_000063_claimed_nodes::Migration),
            Box::new(m20261127_000071_audit_usernames::Migration),
            Box::new(m20261127_000111_usage::Migration),
            Box::new(m20261127_000091_prompts::Migration),
            Box::new(m20261127_000092_deleted_characters::Migration),
            Box::new(m20261127_000101_summaries::Migration),
            Box::new(m20261127_000102_title_states::Migration),
            Box::new(m20261127_000121_idempotent_direct_messages::Migration),
            Box::new(m20261127_000122_direct_messages::Migration),
            Box::new(m20261127_000123_user_blocks::Migration),
            Box::new(m20261127_000081_message_ratings::Migration),
            Box::new(m20261127_000082_deleted_chats_by_id::Migration),
            Box::new(m20261127_000112_quotas::Migration),
            Box::new(m20261127_000093_message_search::Migration),
        ]
    }
}
