//! The list of users, as admins search it.

use sea_orm::Condition;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LikeExpr, Query};
use serde::{Deserialize, Serialize};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::user::{Column, Entity, Model};
use crate::entity::user_role;
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than};

/// Where a user stands in the list: by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The folded username.
    pub username_key: String,
    /// The id.
    pub id: UserId,
}

impl From<&Model> for Place {
    fn from(user: &Model) -> Self {
        Self { username_key: user.username_key.clone(), id: user.id }
    }
}

/// Which users are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Text that the username, the e-mail address or the full name holds; folded to lower case.
    pub query: Option<String>,
    /// Who may sign in, or may not.
    pub is_active: Option<bool>,
    /// With this role.
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

/// A page of the users, by name.
///
/// # Errors
/// When the database fails; as everywhere below.
pub async fn page(db: &impl ConnectionTrait, filter: &Filter, window: Window<Place>) -> Result<Page<Model>, DbErr> {
    let compare = |place: &Place, is_greater: bool| {
        let values = [place.username_key.clone().into(), place.id.into()];
        greater_than([Column::UsernameKey, Column::Id], values, is_greater)
    };
    let query = Entity::find().filter(filter.condition());
    let rows = window.apply(query, &[Column::UsernameKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// How many users the filter lets through.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition()).count(db).await
}
