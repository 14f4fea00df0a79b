//! Personal access tokens.

use async_graphql::{Enum, ID, Object};

use crate::entity::{enums, personal_access_token};
use crate::graphql::budget::List;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A scope of a personal access token. Every scope includes queries and subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::TokenScope")]
pub enum TokenScope {
    /// Queries and subscriptions only.
    Read,
    /// Also mutations, except those that are FORBIDDEN with a personal access token: all that change accounts, roles,
    /// sessions and tokens.
    Write,
    /// Also the permissions of the user's roles, with the same exceptions.
    Admin,
}

/// A token with which a program acts on behalf of its user. It is sent like an access token.
#[derive(Debug, Clone)]
pub struct PersonalAccessToken(pub personal_access_token::Model);

/// A token with which a program acts on behalf of its user. It is sent like an access token.
#[Object]
impl PersonalAccessToken {
    /// The token's ID, with the prefix `pat`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The name that the user gave the token.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The scopes of the token.
    async fn scopes(&self) -> List<TokenScope> {
        enums::TokenScope::parse_list(&self.0.scopes).into_iter().map(TokenScope::from).collect()
    }

    /// The time when the token was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The time when the token was last used, with a precision of one minute. Null if never used.
    async fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// The time when the token expires. Null if it does not expire.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }
}
