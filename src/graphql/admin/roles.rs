//! Administration of roles.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::domain::Result;
use crate::domain::accounts::{NewRole, RoleChanges};
use crate::domain::usage::Limits;
use crate::entity::enums;
use crate::graphql::accounts::{Permission, Role};
use crate::graphql::budget::List;
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::{Count, Microdollars};

/// The fields of `Admin` for roles.
#[derive(Debug, Default)]
pub struct AdminRoles;

#[Object]
impl AdminRoles {
    /// All roles, sorted by name. Requires ROLES_WRITE.
    async fn roles(&self, ctx: &Context<'_>) -> Result<Option<List<Role>>> {
        ctx.budget().statements(1)?;
        let roles = ctx.state().accounts.roles(ctx.viewer()?).await?;
        Ok(Some(roles.into_iter().map(Role).collect()))
    }
}

/// The input of `createRole`.
#[derive(Debug, Clone, InputObject)]
pub struct CreateRoleInput {
    /// The role's name. 1 to 64 characters; unique, ignoring case.
    name: String,
    /// A description of the role. At most 500 characters.
    description: Option<String>,
    /// The permissions that the role grants. The viewer must have each of them.
    permissions: Vec<Permission>,
    /// The monthly limit of the cost of each user with the role. If absent or null, the role sets no limit.
    cost_limit: Option<Microdollars>,
    /// The monthly limit of input and output tokens of each user with the role. If absent or null, the role sets no
    /// limit.
    token_limit: Option<Count>,
}

/// The input of `updateRole`. An absent field is left unchanged; null clears it.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateRoleInput {
    /// The ID of the role.
    role_id: ID,
    /// The role's name. 1 to 64 characters; unique, ignoring case. Cannot be null.
    name: MaybeUndefined<String>,
    /// A description of the role. At most 500 characters.
    description: MaybeUndefined<String>,
    /// All permissions that the role grants. The viewer must have each of them. Cannot be null.
    permissions: MaybeUndefined<Vec<Permission>>,
    /// The monthly limit of the cost of each user with the role. Null removes the limit.
    cost_limit: MaybeUndefined<Microdollars>,
    /// The monthly limit of input and output tokens of each user with the role. Null removes the limit.
    token_limit: MaybeUndefined<Count>,
}

/// The input of `deleteRole`.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteRoleInput {
    /// The ID of the role.
    role_id: ID,
}

/// The payload of `createRole`.
#[derive(Debug, SimpleObject)]
pub struct CreateRolePayload {
    /// The new role.
    role: Role,
}

/// The payload of `updateRole`.
#[derive(Debug, SimpleObject)]
pub struct UpdateRolePayload {
    /// The changed role.
    role: Role,
}

/// The payload of `deleteRole`.
#[derive(Debug, SimpleObject)]
pub struct DeleteRolePayload {
    /// The ID of the deleted role.
    role_id: ID,
}

/// The mutations of roles.
#[derive(Debug, Default)]
pub struct RoleMutations;

#[Object]
impl RoleMutations {
    /// Creates a role. Requires ROLES_WRITE and every permission that the role grants. FORBIDDEN with a personal access
    /// token. CONFLICT if the name is taken.
    async fn create_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createRole`.")] input: CreateRoleInput,
    ) -> Result<Option<CreateRolePayload>> {
        let CreateRoleInput { name, description, permissions, cost_limit, token_limit } = input;
        let limits =
            Limits { cost_limit: cost_limit.map(|limit| limit.0), token_limit: token_limit.map(|limit| limit.0) };
        let new = NewRole { name, description, permissions: parse_permissions(permissions), limits };
        let role = ctx.state().accounts.create_role(ctx.viewer()?, ctx.client(), new).await?;
        Ok(Some(CreateRolePayload { role: Role(role) }))
    }

    /// Changes a role. Takes effect within a second for all users with the role. If the role gains a permission,
    /// pending password reset tokens of these users are revoked. Requires ROLES_WRITE and every permission of the role,
    /// before and after the change. FORBIDDEN with a personal access token. CONFLICT if the name is taken, and for the
    /// name or the permissions of a built-in role.
    async fn update_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `updateRole`.")] input: UpdateRoleInput,
    ) -> Result<Option<UpdateRolePayload>> {
        let changes = RoleChanges {
            name: change(input.name),
            description: change(input.description),
            permissions: change(input.permissions.map_value(parse_permissions)),
            cost_limit: change(input.cost_limit.map_value(|limit| limit.0)),
            token_limit: change(input.token_limit.map_value(|limit| limit.0)),
        };
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.role_id, "roleId")?);
        let role = ctx.state().accounts.update_role(viewer, ctx.client(), id, changes).await?;
        Ok(Some(UpdateRolePayload { role: Role(role) }))
    }

    /// Deletes a role permanently and removes it from all users. Requires ROLES_WRITE and every permission of the role.
    /// FORBIDDEN with a personal access token. CONFLICT for a built-in role.
    async fn delete_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteRole`.")] input: DeleteRoleInput,
    ) -> Result<Option<DeleteRolePayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.role_id, "roleId")?);
        ctx.state().accounts.delete_role(viewer, ctx.client(), id).await?;
        Ok(Some(DeleteRolePayload { role_id: input.role_id }))
    }
}

fn parse_permissions(permissions: Vec<Permission>) -> Vec<enums::Permission> {
    permissions.into_iter().map(enums::Permission::from).collect()
}
