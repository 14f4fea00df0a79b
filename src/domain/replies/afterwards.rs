//! The work after a reply: the title of its chat, and a summary of older messages. It begins when the end of the reply
//! is saved, so that it delays neither this reply nor the first token of the next one.

use std::sync::Arc;

use super::Engine;
use super::log::Outcome;
use super::parts;
use super::running::RunningReply;
use crate::domain::Result;
use crate::domain::chats::titles;
use crate::domain::context::Fit;
use crate::domain::tokens::message_tokens;
use crate::entity::enums::MessageStatus;
use crate::entity::ids::MessageId;
use crate::entity::{character, chat, message};
use crate::events::Event;
use crate::llm::registry::Model;
use crate::storage;
use crate::traces::Span;

/// What the work after a reply needs to know.
pub(super) struct Afterwards {
    pub(super) chat: chat::Model,
    pub(super) character: Option<character::Model>,
    /// The first message of the user, if the chat needs a title.
    pub(super) first_question: Option<String>,
    /// A summary that the prompt contains and that the branch does not find by itself.
    pub(super) found_checkpoint: Option<MessageId>,
    /// The model that wrote the reply, and how the prompt fits its context window.
    pub(super) sent: Option<(Arc<Model>, Fit)>,
}

impl Engine {
    /// Waits until the reply is saved, which ends its span, and then does the work after it.
    pub(super) async fn work_afterwards(&self, running: &RunningReply, afterwards: Afterwards, span: Span) {
        let Outcome::Finished(reply) = running.log.ended().await else { return };
        drop(span);
        if !matches!(reply.status, MessageStatus::Complete | MessageStatus::Stopped) {
            return;
        }
        let title = async {
            if let Err(cause) = self.write_title(&reply, &afterwards).await {
                let chat = afterwards.chat.id;
                tracing::warn!(
                    gen_ai.conversation.id = %chat,
                    exception.message = &cause as &dyn std::error::Error,
                    "the title was not written"
                );
            }
        };
        let summary = async {
            if let Err(cause) = self.summarize(&reply, &afterwards).await {
                let chat = afterwards.chat.id;
                tracing::warn!(
                    gen_ai.conversation.id = %chat,
                    exception.message = &cause as &dyn std::error::Error,
                    "a summary was not shared"
                );
            }
        };
        tokio::join!(title, summary);
    }

    /// Replaces the excerpt that was saved together with the first complete reply. Of several replies and nodes, only
    /// one sends the request, and it is sent only once: after a crash, the excerpt remains.
    async fn write_title(&self, reply: &message::Model, afterwards: &Afterwards) -> Result<()> {
        let Some(question) = &afterwards.first_question else { return Ok(()) };
        let chat = &afterwards.chat;
        if reply.status != MessageStatus::Complete || !self.completions.is_available(&chat.model_id) {
            return Ok(());
        }
        let transaction = self.database.begin().await?;
        let is_ours = storage::chats::claim_title(&transaction, chat.id).await?;
        transaction.commit().await?;
        if !is_ours {
            return Ok(());
        }
        let answer = self.completions.complete(titles::task(chat, question, &parts::content(reply))).await;
        let Some(title) = answer.as_deref().and_then(titles::title_in) else { return Ok(()) };
        let transaction = self.database.begin().await?;
        let is_set = storage::chats::set_written_title(&transaction, chat.id, &title, self.clock.now()).await?;
        transaction.commit().await?;
        if is_set {
            self.bus.publish(chat.owner_id, &[Event::ChatChanged(chat.id)]);
        }
        Ok(())
    }

    async fn summarize(&self, reply: &message::Model, afterwards: &Afterwards) -> Result<()> {
        let Afterwards { chat, character, sent, found_checkpoint, .. } = afterwards;
        if let Some(checkpoint) = found_checkpoint {
            self.summaries.share_with(chat, *checkpoint, reply.id).await?;
        }
        let written = message_tokens(&parts::content(reply));
        let is_far_from_full = sent.as_ref().is_some_and(|(model, fit)| {
            model.id == chat.model_id && self.summaries.is_far_from_full(model, character.as_ref(), *fit, written)
        });
        if !is_far_from_full {
            self.summaries.write_if_needed(chat, character.as_ref(), reply).await;
        }
        Ok(())
    }
}
