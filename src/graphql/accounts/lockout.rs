//! Locks after failed sign-ins.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::user::User;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// Whose locks are lifted.
#[derive(InputObject)]
pub struct UnlockUserInput {
    /// The user.
    user_id: ID,
}

/// Who is unlocked.
#[derive(SimpleObject)]
pub struct UnlockUserPayload {
    /// The user, who may sign in from everywhere again.
    user: User,
}

/// Lifting locks.
#[derive(Default)]
pub struct LockoutMutations;

#[Object]
impl LockoutMutations {
    /// Lifts every lock that failed sign-ins brought on an account. Requires USERS_WRITE and every permission of the
    /// user; FORBIDDEN with a personal access token. Audited.
    async fn unlock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose locks are lifted.")] input: UnlockUserInput,
    ) -> Result<Option<UnlockUserPayload>> {
        let id = ids::parse(&input.user_id, "userId")?;
        let row = ctx.state().accounts.unlock_user(ctx.viewer()?, id, ctx.client()?).await?;
        Ok(Some(UnlockUserPayload { user: row.into() }))
    }
}
