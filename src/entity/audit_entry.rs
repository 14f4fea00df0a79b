//! Something that was done, for the record.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{AuditEntryId, UserId};

/// A row of `audit_log`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditEntryId,
    /// When it was done; of repeated failures, when the first one was.
    pub created_at: DateTimeUtc,
    /// Who did it, where that is known. The account may be gone.
    pub actor_id: Option<UserId>,
    /// What was done, in lower case with dots.
    pub action: String,
    /// The prefixed id of what it was done to. That may be gone.
    pub subject_id: Option<String>,
    /// The address that it came from.
    pub ip_address: Option<String>,
    /// What else there is to say: a JSON object without secrets.
    #[sea_orm(column_type = "Text")]
    pub detail: String,
    /// What the failures have in common that this entry counts; none for what is no failure.
    #[sea_orm(unique)]
    pub repeat_key: Option<String>,
    /// How often it happened.
    pub occurrences: i32,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
