//! The usage of the model's context window by each chat. Computed from the stored token totals of the branch, without
//! reading messages.

use std::collections::HashMap;

use super::Contexts;
use super::budget::{Budget, Plan};
use super::prompt::max_output_tokens;
use crate::domain::tokens::Ratio;
use crate::domain::{ChatAccess, Result};
use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use crate::entity::{character, user};
use crate::storage::contexts::{BranchEnd, Checkpoint, Reached};
use crate::storage::{self, branches};

/// The maximum number of chats of one call.
pub const MAX_CONTEXTS: usize = branches::MAX_PARTS;
/// The maximum number of statements of one call: branch ends, summaries, common prompts, characters, owners, and the
/// first messages that are sent.
pub const MAX_CONTEXT_STATEMENTS: u64 = 6;

/// A chat whose usage is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContextQuery {
    /// The chat.
    pub chat_id: ChatId,
    /// Its owner.
    pub owner_id: UserId,
    /// Its character.
    pub character_id: Option<CharacterId>,
    /// Its model.
    pub model_id: String,
    /// The last message of its active branch.
    pub leaf_id: Option<MessageId>,
}

/// The usage of a context window by the active branch of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextUsage {
    /// The tokens of everything that is sent, as the provider is expected to count them.
    pub tokens: i32,
    /// The context window of the model.
    pub window: i32,
    /// The number of messages that are covered by the summary.
    pub summarized: i32,
    /// The number of messages that are neither sent nor covered by the summary.
    pub omitted: i32,
}

/// The branch of a query, and what is known about it before its first sent message is found.
struct Branch {
    end: BranchEnd,
    ratio: Ratio,
    plan: Plan,
    window: u32,
    /// The depth of the checkpoint and the tokens up to it. None without a checkpoint.
    checkpoint: Option<(i32, i32)>,
}

impl Branch {
    /// The search for the message directly above the first one that is sent. None if all messages below the checkpoint
    /// are sent.
    fn search(&self) -> Option<(MessageId, i32)> {
        let above = self.checkpoint.map_or(0, |(_, tokens)| tokens);
        (!self.plan.sends(above)).then_some((self.end.id, self.plan.least_above))
    }

    /// `above` is the message directly above the first one that is sent.
    fn usage(&self, above: Option<&Reached>) -> ContextUsage {
        let (depth, tokens) = match above {
            // The newest message is always sent, even if it does not fit.
            Some(above) if above.id == self.end.id => (self.end.depth, self.end.parent_tokens),
            Some(above) => (above.depth + 1, above.branch_tokens),
            None => self.checkpoint.map_or((0, 0), |(depth, tokens)| (depth + 1, tokens)),
        };
        let covered = self.checkpoint.map_or(0, |(depth, _)| depth + 1);
        let summarized = if self.plan.has_summary { covered } else { 0 };
        let estimated = self.plan.fixed.saturating_add(self.end.branch_tokens.saturating_sub(tokens));
        ContextUsage {
            tokens: self.ratio.real(estimated),
            window: i32::try_from(self.window).unwrap_or(i32::MAX),
            summarized,
            omitted: depth - summarized,
        }
    }
}

impl Contexts {
    /// The usage for each query, at most [`MAX_CONTEXTS`]. None if the model of the chat is no longer configured.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usages(&self, access: ChatAccess, queries: &[ContextQuery]) -> Result<Vec<Option<ContextUsage>>> {
        let db = self.database.reader();
        let leaves: Vec<MessageId> = queries.iter().filter_map(|query| query.leaf_id).collect();
        let ends = storage::contexts::ends(db, access.readable(), &leaves).await?;
        let ends: HashMap<MessageId, BranchEnd> = ends.into_iter().map(|end| (end.id, end)).collect();
        let checkpoints: Vec<MessageId> = ends.values().filter_map(|end| end.checkpoint_id).collect();
        let checkpoints = storage::contexts::checkpoint_sizes(db, &checkpoints).await?;
        let checkpoints: HashMap<MessageId, Checkpoint> =
            checkpoints.into_iter().map(|checkpoint| (checkpoint.message_id, checkpoint)).collect();
        let common = storage::prompts::common(db).await?;
        let ids: Vec<CharacterId> = queries.iter().filter_map(|query| query.character_id).collect();
        let characters = storage::characters::find_any_of(db, &ids).await?;
        let characters: HashMap<CharacterId, character::Model> =
            characters.into_iter().map(|character| (character.id, character)).collect();
        let owners: Vec<UserId> = queries.iter().map(|query| query.owner_id).collect();
        let owners = storage::users::find_all(db, &owners).await?;
        let owners: HashMap<UserId, user::Model> = owners.into_iter().map(|owner| (owner.id, owner)).collect();

        let branch = |query: &ContextQuery| {
            let model = self.models.get(&query.model_id)?;
            let character = query.character_id.and_then(|id| characters.get(&id));
            let system = self.expand(&common, owners.get(&query.owner_id), character).tokens;
            let end = query.leaf_id.and_then(|id| ends.get(&id)).copied();
            let empty = BranchEnd {
                id: MessageId(uuid::Uuid::nil()),
                depth: -1,
                branch_tokens: 0,
                parent_tokens: 0,
                checkpoint_id: None,
                token_ratio: Ratio::ONE.per_thousand(),
            };
            let end = end.unwrap_or(empty);
            let ratio = Ratio::from_stored(end.token_ratio);
            let checkpoint = end.checkpoint_id.and_then(|id| checkpoints.get(&id));
            let budget = Budget::of(&model, max_output_tokens(character)).estimated(ratio);
            let summary = checkpoint.map(|checkpoint| checkpoint.tokens);
            let plan = Plan::new(budget, system, summary, end.branch_tokens);
            let checkpoint = checkpoint.map(|checkpoint| (checkpoint.depth, checkpoint.branch_tokens));
            Some(Branch { end, ratio, plan, window: model.context_window, checkpoint })
        };
        let branches: Vec<Option<Branch>> = queries.iter().map(branch).collect();
        let searches: Vec<(usize, (MessageId, i32))> = branches
            .iter()
            .enumerate()
            .filter_map(|(number, branch)| Some((number, branch.as_ref()?.search()?)))
            .collect();
        let wanted: Vec<(MessageId, i32)> = searches.iter().map(|(_, search)| *search).collect();
        let found = storage::contexts::first_reaching(db, &wanted).await?;
        let found: HashMap<usize, Reached> = found
            .into_iter()
            .filter_map(|reached| Some((searches.get(usize::try_from(reached.part).ok()?)?.0, reached)))
            .collect();
        let usage = |(number, branch): (usize, Option<Branch>)| Some(branch?.usage(found.get(&number)));
        Ok(branches.into_iter().enumerate().map(usage).collect())
    }
}
