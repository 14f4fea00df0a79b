//! The mutations of prompts.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{Prompt, PromptKind};
use crate::domain::Result;
use crate::domain::prompts::{NewPrompt, PromptChanges};
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `createPrompt`.
#[derive(Debug, Clone, InputObject)]
pub struct CreatePromptInput {
    /// The prompt's title. 1 to 100 characters.
    title: String,
    /// The text of the prompt. 1 to 32,000 characters.
    content: String,
    /// The use of the prompt. If absent, TEMPLATE.
    kind: Option<PromptKind>,
    /// The prompt's tags. At most 10, of 1 to 50 characters.
    tags: Option<Vec<String>>,
}

/// The input of `updatePrompt`. An absent field is left unchanged. No field can be null.
#[derive(Debug, Clone, InputObject)]
pub struct UpdatePromptInput {
    /// The ID of the prompt.
    prompt_id: ID,
    /// The prompt's title. 1 to 100 characters. Cannot be null.
    title: MaybeUndefined<String>,
    /// The text of the prompt. 1 to 32,000 characters. Cannot be null.
    content: MaybeUndefined<String>,
    /// The use of the prompt. Cannot be null.
    kind: MaybeUndefined<PromptKind>,
    /// All tags of the prompt. At most 10, of 1 to 50 characters. Cannot be null.
    tags: MaybeUndefined<Vec<String>>,
}

/// The input of `deletePrompt`.
#[derive(Debug, Clone, InputObject)]
pub struct DeletePromptInput {
    /// The ID of the prompt.
    prompt_id: ID,
}

/// The payload of `createPrompt`.
#[derive(Debug, SimpleObject)]
pub struct CreatePromptPayload {
    /// The new prompt.
    prompt: Prompt,
}

/// The payload of `updatePrompt`.
#[derive(Debug, SimpleObject)]
pub struct UpdatePromptPayload {
    /// The changed prompt.
    prompt: Prompt,
}

/// The payload of `deletePrompt`.
#[derive(Debug, SimpleObject)]
pub struct DeletePromptPayload {
    /// The ID of the deleted prompt.
    prompt_id: ID,
}

/// The mutations of prompts.
#[derive(Debug, Default)]
pub struct PromptMutations;

#[Object]
impl PromptMutations {
    /// Creates a prompt. Requires PROMPTS_WRITE. CONFLICT beyond 20 COMMON prompts, or 64,000 characters of COMMON
    /// prompts together.
    async fn create_prompt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createPrompt`.")] input: CreatePromptInput,
    ) -> Result<Option<CreatePromptPayload>> {
        let CreatePromptInput { title, content, kind, tags } = input;
        let new = NewPrompt { title, content, kind: kind.map(Into::into), tags: tags.unwrap_or_default() };
        let prompt = ctx.state().prompts.create(ctx.viewer()?, ctx.client(), new).await?;
        Ok(Some(CreatePromptPayload { prompt: Prompt(prompt) }))
    }

    /// Changes a prompt. A changed COMMON prompt applies to the next replies of all chats. Requires PROMPTS_WRITE.
    /// CONFLICT as with `createPrompt`.
    async fn update_prompt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `updatePrompt`.")] input: UpdatePromptInput,
    ) -> Result<Option<UpdatePromptPayload>> {
        let changes = PromptChanges {
            title: change(input.title),
            content: change(input.content),
            kind: change(input.kind.map_value(Into::into)),
            tags: change(input.tags),
        };
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.prompt_id, "promptId")?);
        let prompt = ctx.state().prompts.update(viewer, ctx.client(), id, changes).await?;
        Ok(Some(UpdatePromptPayload { prompt: Prompt(prompt) }))
    }

    /// Deletes a prompt permanently. Requires PROMPTS_WRITE.
    async fn delete_prompt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deletePrompt`.")] input: DeletePromptInput,
    ) -> Result<Option<DeletePromptPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.prompt_id, "promptId")?);
        ctx.state().prompts.delete(viewer, ctx.client(), id).await?;
        Ok(Some(DeletePromptPayload { prompt_id: input.prompt_id }))
    }
}
