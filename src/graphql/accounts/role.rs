//! Roles and what they allow.

use async_graphql::{Enum, ID, Object};

use crate::entity::enums;
use crate::entity::role;
use crate::graphql::budget::List;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// What a role may allow beyond one's own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::Permission")]
pub enum Permission {
    /// See every user's account data.
    UsersRead,
    /// Create, change and delete users.
    UsersWrite,
    /// Create, change, delete and assign roles.
    RolesWrite,
    /// Read any user's chats.
    ChatsRead,
    /// Create, change and delete every character.
    CharactersWrite,
    /// Create, change and delete prompts.
    PromptsWrite,
    /// See statistics and usage of the whole system.
    StatsRead,
    /// Read the audit log.
    AuditRead,
}

/// A named set of permissions.
#[derive(Debug, Clone)]
pub struct Role(pub role::Model);

/// A named set of permissions.
#[Object]
impl Role {
    /// Opaque, and unique among all objects.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// Unique among roles.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is for.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// What it allows.
    async fn permissions(&self) -> List<Permission> {
        enums::Permission::parse_list(&self.0.permissions).into_iter().map(Permission::from).collect()
    }

    /// Whether it belongs to every server, and cannot be deleted.
    async fn is_built_in(&self) -> bool {
        self.0.is_built_in
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}
