//! Roles and permissions.

use async_graphql::{Enum, ID, Object};

use crate::entity::enums;
use crate::entity::role;
use crate::graphql::budget::List;
use crate::graphql::ids;
use crate::graphql::scalars::{Count, DateTime, Microdollars};

/// A permission that a role grants, beyond access to the user's own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::Permission")]
pub enum Permission {
    /// Read the account data of all users.
    UsersRead,
    /// Create, change and delete users.
    UsersWrite,
    /// Create, change, delete and assign roles.
    RolesWrite,
    /// Read the chats of all users.
    ChatsRead,
    /// Create, change and delete public characters.
    CharactersWrite,
    /// Create, change and delete prompts.
    PromptsWrite,
    /// Read statistics and usage of the whole system.
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
    /// The role's ID, with the prefix `role`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The role's name. Unique, ignoring case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// A description of the role.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The permissions that the role grants.
    async fn permissions(&self) -> List<Permission> {
        enums::Permission::parse_list(&self.0.permissions).into_iter().map(Permission::from).collect()
    }

    /// Whether the role is built in. Built-in roles exist on every server and cannot be deleted.
    async fn is_built_in(&self) -> bool {
        self.0.is_built_in
    }

    /// The time when the role was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The monthly limit of the cost of each user with the role. Null if the role sets no limit. Of several roles with
    /// limits, the highest one applies, unless the user has an own limit.
    async fn cost_limit(&self) -> Option<Microdollars> {
        self.0.cost_limit.map(Microdollars)
    }

    /// The monthly limit of input and output tokens of each user with the role. Null if the role sets no limit. Of
    /// several roles with limits, the highest one applies, unless the user has an own limit.
    async fn token_limit(&self) -> Option<Count> {
        self.0.token_limit.map(Count)
    }
}
