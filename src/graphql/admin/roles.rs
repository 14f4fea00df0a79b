//! Making and changing roles.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::domain::Result;
use crate::domain::accounts::{NewRole, RoleChanges};
use crate::entity::enums;
use crate::graphql::accounts::{Permission, Role};
use crate::graphql::chats::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// A role to be made.
#[derive(Debug, Clone, InputObject)]
pub struct CreateRoleInput {
    /// 1 to 64 characters; unique without regard to case.
    name: String,
    /// What it is for, at most 500 characters.
    description: Option<String>,
    /// What it allows: nothing that the caller may not.
    permissions: Vec<Permission>,
}

/// What an update changes: an absent field stays, null clears it.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateRoleInput {
    /// The role.
    role_id: ID,
    /// 1 to 64 characters; unique without regard to case; cannot be null.
    name: MaybeUndefined<String>,
    /// What it is for, at most 500 characters.
    description: MaybeUndefined<String>,
    /// What it allows, all of it: nothing that the caller may not; cannot be null.
    permissions: MaybeUndefined<Vec<Permission>>,
}

/// The role to remove.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteRoleInput {
    /// The role.
    role_id: ID,
}

/// What `createRole` made.
#[derive(Debug, SimpleObject)]
pub struct CreateRolePayload {
    /// The new role.
    role: Role,
}

/// What `updateRole` changed.
#[derive(Debug, SimpleObject)]
pub struct UpdateRolePayload {
    /// The role as it is now.
    role: Role,
}

/// What `deleteRole` removed.
#[derive(Debug, SimpleObject)]
pub struct DeleteRolePayload {
    /// The id of the role that is gone.
    role_id: ID,
}

/// The mutations of roles.
#[derive(Debug, Default)]
pub struct RoleMutations;

#[Object]
impl RoleMutations {
    /// Creates a role. Requires ROLES_WRITE and every permission that it gives; FORBIDDEN with a personal access token.
    /// CONFLICT when the name is taken.
    async fn create_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role to be made.")] input: CreateRoleInput,
    ) -> Result<Option<CreateRolePayload>> {
        let CreateRoleInput { name, description, permissions } = input;
        let new = NewRole { name, description, permissions: all(permissions) };
        let role = ctx.state().accounts.create_role(ctx.viewer()?, ctx.client()?, new).await?;
        Ok(Some(CreateRolePayload { role: Role(role) }))
    }

    /// Changes a role for everybody who has it, within a second. If it gains a permission, their password resets end.
    /// Requires ROLES_WRITE and every permission of the role, before and after; FORBIDDEN with a personal access token.
    /// CONFLICT when the name is taken, and for the name and the permissions of a built-in role.
    async fn update_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role, and what changes.")] input: UpdateRoleInput,
    ) -> Result<Option<UpdateRolePayload>> {
        let changes = RoleChanges {
            name: change(input.name),
            description: change(input.description),
            permissions: change(input.permissions.map_value(all)),
        };
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.role_id, "roleId")?);
        let role = ctx.state().accounts.update_role(viewer, ctx.client()?, id, changes).await?;
        Ok(Some(UpdateRolePayload { role: Role(role) }))
    }

    /// Removes a role from everybody who has it, and for good. Requires ROLES_WRITE and every permission of the role;
    /// FORBIDDEN with a personal access token. CONFLICT for a built-in role.
    async fn delete_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role to remove.")] input: DeleteRoleInput,
    ) -> Result<Option<DeleteRolePayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.role_id, "roleId")?);
        ctx.state().accounts.delete_role(viewer, ctx.client()?, id).await?;
        Ok(Some(DeleteRolePayload { role_id: input.role_id }))
    }
}

fn all(permissions: Vec<Permission>) -> Vec<enums::Permission> {
    permissions.into_iter().map(enums::Permission::from).collect()
}
