//! Creating, changing and deleting roles. A viewer can neither grant nor revoke a permission that they lack. Every
//! change is [`Error::Forbidden`] with a personal access token.

use serde_json::{Value, json};

use super::Accounts;
use crate::domain::audit::{self, Action};
use crate::domain::input::{Change, Checks, Lines};
use crate::domain::usage::Limits;
use crate::domain::{Client, Error, FieldError, FieldErrorCode, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::RoleId;
use crate::entity::role;
use crate::storage::{password_resets, roles as rows};

/// The longest name, in characters.
const MAX_NAME: usize = 64;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;
/// The maximum number of roles of a server, including the built-in ones. The list of roles has no pagination.
pub const MAX_ROLES: u64 = 200;

/// The input for a new role.
#[derive(Debug, Clone)]
pub struct NewRole {
    /// 1 to 64 characters; unique without regard to case.
    pub name: String,
    /// At most 500 characters.
    pub description: Option<String>,
    /// The permissions.
    pub permissions: Vec<Permission>,
    /// The monthly limits of its users.
    pub limits: Limits,
}

/// The changes of an update.
#[derive(Debug, Clone, Default)]
pub struct RoleChanges {
    /// The name. Cannot be cleared.
    pub name: Change<String>,
    /// The description.
    pub description: Change<String>,
    /// The permissions. Cannot be cleared.
    pub permissions: Change<Vec<Permission>>,
    /// The monthly limit of cost of its users, in millionths of a US dollar.
    pub cost_limit: Change<i64>,
    /// The monthly limit of tokens of its users.
    pub token_limit: Change<i64>,
}

impl Accounts {
    /// All roles, by name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without ROLES_WRITE. The same holds for the methods below.
    pub async fn roles(&self, viewer: &Viewer) -> Result<Vec<role::Model>> {
        viewer.require(Permission::RolesWrite)?;
        Ok(rows::all(self.0.database.reader(), MAX_ROLES).await?)
    }

    /// Creates a role.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Forbidden`] for a permission that the viewer lacks; [`Error::Conflict`] if the name
    /// is taken or the maximum number of roles is reached.
    pub async fn create_role(&self, viewer: &Viewer, client: &Client, new: NewRole) -> Result<role::Model> {
        viewer.require_in_session(Permission::RolesWrite)?;
        let mut checks = Checks::default();
        let name = name(&mut checks, &new.name);
        let description = new.description.and_then(|text| description(&mut checks, &text));
        checks.finish()?;
        viewer.require_all(&new.permissions)?;
        let now = self.0.clock.now();
        let role = role::Model {
            id: RoleId(self.0.ids.next(now)),
            name_key: name.to_lowercase(),
            name,
            description,
            permissions: Permission::join(&new.permissions),
            is_built_in: false,
            created_at: now,
            cost_limit: new.limits.cost_limit,
            token_limit: new.limits.token_limit,
        };
        let transaction = self.0.database.begin().await?;
        if rows::count(&transaction).await? >= MAX_ROLES {
            let message = "The maximum number of roles is reached.";
            return Err(Error::Conflict { message, fields: Vec::new() });
        }
        if !rows::insert(&transaction, role.clone()).await? {
            return Err(name_taken());
        }
        let entry = self.audit(Action::RoleCreated, client).by(viewer.user_id).on(role.id).detail(detail(&role));
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(role)
    }

    /// Updates a role. The sessions of its users follow within a second. Of a built-in role, only the description and
    /// the limits can be changed. If the role gains a permission, the password reset tokens of its users are deleted.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`]; [`Error::Forbidden`] for an old or new permission that the viewer
    /// lacks; [`Error::Conflict`] if the name is taken or the role is built-in.
    pub async fn update_role(
        &self,
        viewer: &Viewer,
        client: &Client,
        id: RoleId,
        changes: RoleChanges,
    ) -> Result<role::Model> {
        viewer.require_in_session(Permission::RolesWrite)?;
        let mut checks = Checks::default();
        let new_name = checks.required("name", changes.name).map(|text| name(&mut checks, &text));
        let new_permissions = checks.required("permissions", changes.permissions);
        let new_description = match changes.description {
            Change::Keep => None,
            Change::Clear => Some(None),
            Change::Set(text) => Some(description(&mut checks, &text)),
        };
        checks.finish()?;
        let transaction = self.0.database.begin().await?;
        let old = rows::lock_all(&transaction, &[id]).await?.pop().ok_or(Error::NotFound)?;
        let mut role = old.clone();
        if let Some(name) = new_name {
            (role.name_key, role.name) = (name.to_lowercase(), name);
        }
        if let Some(description) = new_description {
            role.description = description;
        }
        if let Some(permissions) = new_permissions {
            role.permissions = Permission::join(&permissions);
        }
        role.cost_limit = changes.cost_limit.apply(old.cost_limit);
        role.token_limit = changes.token_limit.apply(old.token_limit);
        viewer.require_all(&Permission::parse_list(&old.permissions))?;
        viewer.require_all(&Permission::parse_list(&role.permissions))?;
        keep_built_in(&old, &role)?;
        if !rows::update(&transaction, role.clone()).await? {
            return Err(name_taken());
        }
        let had = Permission::parse_list(&old.permissions);
        if Permission::parse_list(&role.permissions).iter().any(|permission| !had.contains(permission)) {
            password_resets::delete_of_role(&transaction, id).await?;
        }
        let mut detail = detail(&role);
        detail["before"] = self::detail(&old);
        let entry = self.audit(Action::RoleUpdated, client).by(viewer.user_id).on(id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.roles_changed(None).await;
        Ok(role)
    }

    /// Deletes a role and removes it from its users.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] if the role has a permission that the viewer lacks;
    /// [`Error::Conflict`] if it is built-in.
    pub async fn delete_role(&self, viewer: &Viewer, client: &Client, id: RoleId) -> Result<()> {
        viewer.require_in_session(Permission::RolesWrite)?;
        let transaction = self.0.database.begin().await?;
        let role = rows::lock_all(&transaction, &[id]).await?.pop().ok_or(Error::NotFound)?;
        if role.is_built_in {
            return Err(Error::Conflict { message: "A built-in role cannot be deleted.", fields: Vec::new() });
        }
        viewer.require_all(&Permission::parse_list(&role.permissions))?;
        rows::delete(&transaction, id).await?;
        let entry = self.audit(Action::RoleDeleted, client).by(viewer.user_id).on(id).detail(detail(&role));
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.roles_changed(None).await;
        Ok(())
    }
}

/// A role as the audit log shows it.
fn detail(role: &role::Model) -> Value {
    let permissions: Vec<&str> = role.permissions.split_ascii_whitespace().collect();
    json!({
        "name": role.name, "permissions": permissions, "costLimit": role.cost_limit, "tokenLimit": role.token_limit,
    })
}

fn name(checks: &mut Checks, text: &str) -> String {
    let name = text.trim();
    // Checked in folded form, in which `İ` becomes two characters.
    checks.text("name", &name.to_lowercase(), 1..=MAX_NAME, Lines::One);
    name.to_owned()
}

/// A description, trimmed. None if empty.
fn description(checks: &mut Checks, text: &str) -> Option<String> {
    let text = text.trim();
    checks.text("description", text, 0..=MAX_DESCRIPTION, Lines::Many);
    (!text.is_empty()).then(|| text.to_owned())
}

/// A built-in role keeps its name and permissions: `admin` must remain able to repair everything, and `user` belongs to
/// every account.
fn keep_built_in(old: &role::Model, new: &role::Model) -> Result<()> {
    let changed = [("name", old.name != new.name), ("permissions", old.permissions != new.permissions)];
    let message = "The name and the permissions of a built-in role cannot be changed.";
    let fields: Vec<FieldError> = changed
        .into_iter()
        .filter(|(_, is_changed)| old.is_built_in && *is_changed)
        .map(|(field, _)| FieldError::new(field, FieldErrorCode::NotAllowed, message))
        .collect();
    if fields.is_empty() { Ok(()) } else { Err(Error::Conflict { message, fields }) }
}

fn name_taken() -> Error {
    let message = "This name is taken.";
    Error::Conflict { message, fields: vec![FieldError::new("name", FieldErrorCode::Taken, message)] }
}
