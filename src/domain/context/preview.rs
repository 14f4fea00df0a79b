//! The preview of a prompt.

use super::{Contexts, Origin};
use crate::domain::characters::may_see_instructions;
use crate::domain::input::{Checks, Lines};
use crate::domain::{Result, Viewer, chats};
use crate::entity::enums::{MessageRole, Permission};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message;
use crate::llm::Speaker;
use crate::storage;

/// The prompt that would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The messages, in order. The content is none if the viewer may not see it.
    pub messages: Vec<(MessageRole, Option<String>)>,
    /// The tokens of the prompt, as the provider is expected to count them.
    pub tokens: i32,
}

impl Contexts {
    /// The prompt that the chat's model would get if the viewer sent `content` now. None if the viewer has no such
    /// chat, or if its model is no longer configured.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] for a text that cannot be sent; when the database fails.
    pub async fn preview(&self, viewer: &Viewer, chat_id: ChatId, content: &str) -> Result<Option<Preview>> {
        let mut checks = Checks::default();
        checks.text("content", content, 1..=self.max_message_length, Lines::Many);
        checks.finish()?;
        let db = self.database.reader();
        let Some(chat) = storage::chats::find(db, viewer.user_id, chat_id).await? else { return Ok(None) };
        let Some(model) = self.models.get(&chat.model_id) else { return Ok(None) };
        let parent = match chat.leaf_id {
            Some(id) => storage::messages::find_any(db, id).await?,
            None => None,
        };
        let character = match chat.character_id {
            Some(id) => storage::characters::find_any(db, id).await?,
            None => None,
        };
        let id = MessageId(uuid::Uuid::max());
        let new = chats::message(id, chat.id, MessageRole::User, content, parent.as_ref(), self.clock.now());
        let question = message::Model {
            parent_id: parent.as_ref().map(|parent| parent.id),
            depth: parent.as_ref().map_or(0, |parent| parent.depth + 1),
            ..new
        };
        let models = [model];
        let prompt = self.prompt(chat.owner_id, character.as_ref(), &question, &models).await?;
        let [model] = &models;
        let fit = prompt.fit(model);
        let is_visible = |origin| match origin {
            Origin::Common => viewer.may(Permission::PromptsWrite),
            Origin::Character => character.as_ref().is_some_and(|character| may_see_instructions(viewer, character)),
            // It was written from the viewer's own chat.
            Origin::Summary => true,
        };
        let system = prompt.system(fit).map(|part| (MessageRole::System, is_visible(part.origin).then_some(part.text)));
        let messages = prompt.messages(fit).map(|message| {
            let role = match message.speaker {
                Speaker::User => MessageRole::User,
                Speaker::Assistant => MessageRole::Assistant,
            };
            (role, Some(message.content.clone()))
        });
        Ok(Some(Preview { messages: system.chain(messages).collect(), tokens: fit.tokens }))
    }
}
