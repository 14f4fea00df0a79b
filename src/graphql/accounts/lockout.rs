//! Lockouts after failed sign-in attempts.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::user::User;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `unlockUser`.
#[derive(InputObject)]
pub struct UnlockUserInput {
    /// The ID of the user.
    user_id: ID,
}

/// The payload of `unlockUser`.
#[derive(SimpleObject)]
pub struct UnlockUserPayload {
    /// The unlocked user.
    user: User,
}

/// The mutations of lockouts.
#[derive(Default)]
pub struct LockoutMutations;

#[Object]
impl LockoutMutations {
    /// Removes all lockouts that failed sign-in attempts caused on an account. Requires USERS_WRITE and every
    /// permission of the user. FORBIDDEN with a personal access token. Audited.
    async fn unlock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `unlockUser`.")] input: UnlockUserInput,
    ) -> Result<Option<UnlockUserPayload>> {
        let id = ids::parse(&input.user_id, "userId")?;
        let row = ctx.state().accounts.unlock_user(ctx.viewer()?, id, ctx.client()?).await?;
        Ok(Some(UnlockUserPayload { user: row.into() }))
    }
}
