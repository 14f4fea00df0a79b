//! Reads the rows for a prompt. The number of statements is constant, and messages that fit no context window are not
//! read.

use std::sync::Arc;

use super::Contexts;
use super::prompt::{Origin, Prompt, System, SystemPart};
use crate::domain::Result;
use crate::domain::macros::Macros;
use crate::domain::tokens::Ratio;
use crate::entity::ids::UserId;
use crate::entity::{character, message, prompt, user};
use crate::llm::registry::Model;
use crate::storage;

/// The maximum number of bytes of messages that are read for a prompt. Only reasoning, which is read but not sent, can
/// reach it.
const MAX_PROMPT_BYTES: u64 = 64 * 1024 * 1024;

impl Contexts {
    /// The prompt for the reply to `question`, whose row need not exist, from one of these models.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prompt(
        &self,
        owner: UserId,
        character: Option<&character::Model>,
        question: &message::Model,
        models: &[Arc<Model>],
    ) -> Result<Prompt> {
        let db = self.database.reader();
        let system = self.system(owner, character).await?;
        let window = models.iter().map(|model| model.context_window).max().unwrap_or(0);
        let ratio = Ratio::from_stored(question.token_ratio);
        let most = ratio.estimated(i32::try_from(window).unwrap_or(i32::MAX));
        let least = question.branch_tokens.saturating_sub(most);
        let mut rows = match question.parent_id {
            Some(parent) => {
                storage::contexts::newest(db, parent, least, question.checkpoint_id, MAX_PROMPT_BYTES).await?
            }
            None => Vec::new(),
        };
        rows.push(question.clone());
        // A summary may have been written after the question. Along a branch, later messages have greater ids.
        let nearest = rows.iter().filter_map(|row| row.checkpoint_id).max();
        let checkpoint = match nearest {
            Some(id) => storage::contexts::checkpoint(db, id).await?,
            None => None,
        };
        Ok(Prompt::new(system, character, checkpoint, &rows))
    }

    /// The system parts of a chat without the summary.
    pub(super) async fn system(&self, owner: UserId, character: Option<&character::Model>) -> Result<System> {
        let db = self.database.reader();
        let common = storage::prompts::common(db).await?;
        let owner = storage::users::find_all(db, &[owner]).await?.pop();
        Ok(self.expand(&common, owner.as_ref(), character))
    }

    /// The system parts with their macros replaced.
    pub(super) fn expand(
        &self,
        common: &[prompt::Model],
        owner: Option<&user::Model>,
        character: Option<&character::Model>,
    ) -> System {
        let own = character.map(|character| (Origin::Character, &character.system_prompt));
        let texts = common.iter().map(|prompt| (Origin::Common, &prompt.content)).chain(own);
        let now = self.clock.now();
        let part = |(origin, text): (Origin, &String)| SystemPart {
            origin,
            text: owner.map_or_else(|| text.clone(), |owner| Macros::new(owner, character, now).expand(text)),
        };
        texts.map(part).collect()
    }
}
