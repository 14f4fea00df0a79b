//! Personal access tokens.

use async_graphql::{Enum, ID, Object};

use crate::entity::{enums, personal_access_token};
use crate::graphql::budget::List;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// What a personal access token may do. Each lets it query and subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::TokenScope")]
pub enum TokenScope {
    /// Nothing more.
    Read,
    /// Mutations, except those that are FORBIDDEN with a personal access token: all that change accounts, roles,
    /// sessions and tokens.
    Write,
    /// What the roles of its user allow, with the same exceptions.
    Admin,
}

/// A token with which a program acts for its user. It travels as an access token does.
#[derive(Debug, Clone)]
pub struct PersonalAccessToken(pub personal_access_token::Model);

/// A token with which a program acts for its user. It travels as an access token does.
#[Object]
impl PersonalAccessToken {
    /// Opaque, and unique among all objects.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// What its user calls it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may do.
    async fn scopes(&self) -> List<TokenScope> {
        enums::TokenScope::parse_list(&self.0.scopes).into_iter().map(TokenScope::from).collect()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last used, to the minute; null for never.
    async fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// When it stops working; null for never.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }
}
