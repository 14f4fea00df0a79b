//! The context of a chat: the usage of the model's context window, and the preview of a prompt.

use async_graphql::{Context, ID, Object, SimpleObject};

use super::message::MessageRole;
use crate::domain::{self, Result};
use crate::graphql::budget::{List, Text};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The maximum number of statements for a preview: chat, last message, character, common prompts, owner, messages, and
/// summary.
const PREVIEW_STATEMENTS: u64 = 7;

/// How much of the model's context window the active branch of a chat uses.
///
/// A prompt consists of the system parts (the common prompts of the server, the character's system prompt, the summary
/// of older messages), and of the newest messages that fit into the window next to these parts and the space that is
/// reserved for the reply. All other messages are either covered by the summary or omitted from the prompt.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct ContextUsage {
    /// The number of tokens of everything that would be sent. An estimate, corrected with the counts that the provider
    /// reported for earlier replies of the branch.
    tokens: i32,
    /// The context window of the chat's model, in tokens.
    window: i32,
    /// The number of messages that are represented by a summary.
    summarized_message_count: i32,
    /// The number of messages that are neither sent nor represented by the summary.
    omitted_message_count: i32,
}

impl From<domain::ContextUsage> for ContextUsage {
    fn from(usage: domain::ContextUsage) -> Self {
        Self {
            tokens: usage.tokens,
            window: usage.window,
            summarized_message_count: usage.summarized,
            omitted_message_count: usage.omitted,
        }
    }
}

/// The prompt that would be sent to a model.
#[derive(Debug, Clone)]
pub struct PromptPreview(domain::Preview);

/// The prompt that would be sent to a model.
#[Object]
impl PromptPreview {
    /// The messages of the prompt, in order. Each system part (common prompts, character, summary) is a message of its
    /// own, before all other messages.
    async fn messages(&self) -> List<PromptMessage<'_>> {
        self.0.messages.iter().map(|(role, content)| PromptMessage { role: *role, content: content.as_ref() }).collect()
    }

    /// The number of tokens of the prompt. An estimate, corrected with the counts that the provider reported for
    /// earlier replies of the branch.
    async fn tokens(&self) -> i32 {
        self.0.tokens
    }
}

/// A message of a prompt.
pub struct PromptMessage<'a> {
    role: crate::entity::enums::MessageRole,
    content: Option<&'a String>,
}

/// A message of a prompt.
#[Object]
impl PromptMessage<'_> {
    /// SYSTEM for a system part, otherwise the author of the message.
    async fn role(&self) -> MessageRole {
        self.role.into()
    }

    /// The text, with macros replaced. Null for a system part that the viewer may not see: common prompts require
    /// PROMPTS_WRITE, and the character's system prompt is visible to its owner and to viewers with CHARACTERS_WRITE.
    /// The summary is visible to the owner of the chat.
    async fn content(&self) -> Option<Text<'_>> {
        self.content.map(Text::from)
    }
}

/// The queries of contexts.
#[derive(Debug, Default)]
pub struct ContextQueries;

#[Object]
impl ContextQueries {
    /// The prompt that would be sent to the chat's model if `content` were sent now, at the end of the active branch.
    /// Nothing is sent or stored. Null if the viewer has no chat with this ID, or if its model is no longer configured.
    /// INVALID_INPUT if `content` cannot be sent.
    async fn preview_prompt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the chat.")] chat_id: ID,
        #[graphql(desc = "The text of the message. 1 to `Server.maxMessageLength` characters.")] content: String,
    ) -> Result<Option<PromptPreview>> {
        let (viewer, chat_id) = (ctx.viewer()?, ids::parse(&chat_id, "chatId")?);
        ctx.budget().statements(PREVIEW_STATEMENTS)?;
        let preview = ctx.state().contexts.preview(viewer, chat_id, &content).await?;
        if let Some(preview) = &preview {
            ctx.budget().bytes(preview.messages.iter().flat_map(|(_, content)| content).map(String::len).sum())?;
        }
        Ok(preview.map(PromptPreview))
    }
}
