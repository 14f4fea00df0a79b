//! Personal access tokens.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use crate::domain::accounts::NewToken;
use crate::entity::{enums, personal_access_token};
use crate::graphql::budget::List;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A scope of a personal access token. Every scope includes queries and subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::TokenScope")]
pub enum TokenScope {
    /// Queries and subscriptions only.
    Read,
    /// Also mutations, except those that are FORBIDDEN with a personal access token.
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

/// The input of `createPersonalAccessToken`.
#[derive(InputObject)]
pub struct CreatePersonalAccessTokenInput {
    /// A name for the token. At most 100 characters.
    name: String,
    /// The scopes of the token. At least one.
    scopes: Vec<TokenScope>,
    /// The time when the token expires; must be in the future. If absent, the token does not expire.
    expires_at: Option<DateTime>,
}

/// The payload of `createPersonalAccessToken`.
#[derive(SimpleObject)]
pub struct CreatePersonalAccessTokenPayload {
    /// The new token, without its secret.
    personal_access_token: PersonalAccessToken,
    /// The secret of the token, sent as `Authorization: Bearer …`. Returned only here and cannot be retrieved again.
    secret: String,
}

/// The input of `revokePersonalAccessToken`.
#[derive(InputObject)]
pub struct RevokePersonalAccessTokenInput {
    /// The ID of a personal access token of the viewer.
    personal_access_token_id: ID,
}

/// The payload of `revokePersonalAccessToken`.
#[derive(SimpleObject)]
pub struct RevokePersonalAccessTokenPayload {
    /// The ID of the revoked token.
    personal_access_token_id: ID,
}

/// The mutations of personal access tokens.
#[derive(Default)]
pub struct TokenMutations;

#[Object]
impl TokenMutations {
    /// Creates a token with which a program acts on behalf of the viewer. CONFLICT if the viewer already has 50 tokens.
    /// FORBIDDEN with a personal access token.
    async fn create_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createPersonalAccessToken`.")] input: CreatePersonalAccessTokenInput,
    ) -> Result<Option<CreatePersonalAccessTokenPayload>> {
        let new = NewToken {
            name: input.name,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            expires_at: input.expires_at.map(|at| at.0),
        };
        let (row, secret) = ctx.state().accounts.create_token(ctx.viewer()?, new, ctx.client()).await?;
        Ok(Some(CreatePersonalAccessTokenPayload { personal_access_token: PersonalAccessToken(row), secret }))
    }

    /// Revokes a personal access token of the viewer immediately; its WebSockets are closed. FORBIDDEN with a personal
    /// access token.
    async fn revoke_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `revokePersonalAccessToken`.")] input: RevokePersonalAccessTokenInput,
    ) -> Result<Option<RevokePersonalAccessTokenPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.personal_access_token_id, "personalAccessTokenId")?;
        ctx.state().accounts.revoke_token(viewer, id, ctx.client()).await?;
        Ok(Some(RevokePersonalAccessTokenPayload { personal_access_token_id: input.personal_access_token_id }))
    }
}
