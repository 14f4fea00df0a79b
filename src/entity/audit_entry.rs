//! An entry of the audit log.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{AuditEntryId, UserId};

/// A row of `audit_log`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditEntryId,
    /// When the action was performed. For repeated failures, the first time.
    pub created_at: DateTimeUtc,
    /// The user that performed it, if known. The account may be deleted.
    pub actor_id: Option<UserId>,
    /// The name of the action, in lower case with dots.
    pub action: String,
    /// The prefixed id of the object. It may be deleted.
    pub subject_id: Option<String>,
    /// The IP address of the request.
    pub ip_address: Option<String>,
    /// Further details: a JSON object without secrets.
    #[sea_orm(column_type = "Text")]
    pub detail: String,
    /// The key by which repeated failures share this entry. None if the action is not a failure.
    #[sea_orm(unique)]
    pub repeat_key: Option<String>,
    /// The number of occurrences.
    pub occurrences: i32,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
