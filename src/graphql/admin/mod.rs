//! Administration: users, roles, chats of other users, statistics, and the audit log.

mod audit;
mod chats;
mod roles;
mod usage;
mod users;

use async_graphql::{Context, ID, MergedObject, Object};

pub use audit::AuditEntry;
pub use roles::RoleMutations;
pub use users::UserMutations;

use crate::domain::Result;
use crate::domain::accounts::may_administer;
use crate::graphql::context::ContextExt as _;
use audit::AdminAudit;
use chats::AdminChats;
use roles::AdminRoles;
use usage::AdminUsage;
use users::AdminUsers;

/// The query for administration.
#[derive(Debug, Default)]
pub struct AdminQueries;

#[Object]
impl AdminQueries {
    /// Admin queries. Null, without an error, if the viewer has no permission beyond access to their own data.
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<Admin>> {
        Ok(may_administer(ctx.requester())?.then(Admin::default))
    }
}

/// Admin queries. Each field requires its own permission; without it, that field alone is null with a FORBIDDEN error.
#[derive(Debug, MergedObject, Default)]
pub struct Admin(AdminId, AdminUsers, AdminRoles, AdminChats, AdminUsage, AdminAudit);

/// The ID of `Admin`.
#[derive(Debug, Default)]
pub struct AdminId;

#[Object]
impl AdminId {
    /// A constant ID, for client caches.
    async fn id(&self) -> ID {
        ID("admin".to_owned())
    }
}
