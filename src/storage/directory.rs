//! Queries on the list of users for admins.

use sea_orm::Condition;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LikeExpr, Query};
use serde::{Deserialize, Serialize};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::user::{Column, Entity, Model};
use crate::entity::user_role;
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than};

/// A cursor in the list of users, by username.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCursor {
    /// The folded username.
    pub username_key: String,
    /// The id.
    pub id: UserId,
}

impl From<&Model> for UserCursor {
    fn from(user: &Model) -> Self {
        Self { username_key: user.username_key.clone(), id: user.id }
    }
}

/// The filter of a list. All given fields must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Text that the username, the e-mail address or the full name contains, folded to lower case.
    pub query: Option<String>,
    /// Whether the user may sign in.
    pub is_active: Option<bool>,
    /// Users with this role.
    pub role_id: Option<RoleId>,
}

impl Filter {
    fn condition(&self) -> Condition {
        let found = self.query.as_ref().map(|text| {
            let pattern = || LikeExpr::new(format!("%{}%", escape_like(text))).escape('\\');
            Condition::any()
                .add(Column::UsernameKey.like(pattern()))
                .add(Column::EmailKey.like(pattern()))
                .add(Column::FullNameKey.like(pattern()))
        });
        let with_role = self.role_id.map(|role_id| {
            let mut holders = Query::select();
            holders.column(user_role::Column::UserId).from(user_role::Entity);
            holders.and_where(user_role::Column::RoleId.eq(role_id));
            Column::Id.in_subquery(holders)
        });
        Condition::all()
            .add(Column::DeletedAt.is_null())
            .add_option(found)
            .add_option(self.is_active.map(|wanted| Column::IsActive.eq(wanted)))
            .add_option(with_role)
    }
}

/// A page of the users, by username.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    window: Window<UserCursor>,
) -> Result<Page<Model>, DbErr> {
    let compare = |cursor: &UserCursor, is_greater: bool| {
        let values = [cursor.username_key.clone().into(), cursor.id.into()];
        greater_than([Column::UsernameKey, Column::Id], values, is_greater)
    };
    let query = Entity::find().filter(filter.condition());
    let rows = window.apply(query, &[Column::UsernameKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of users that match the filter.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition()).count(db).await
}
