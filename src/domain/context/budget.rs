//! The arithmetic of a context window. All numbers are tokens.

use crate::domain::tokens::Ratio;
use crate::llm::registry::Model;

/// The part of the context window (one fourth) that is reserved for the reply if the model has no limit for output
/// tokens, and the largest part that is reserved otherwise.
const REPLY_SHARE: u32 = 4;

/// The part of a context window that a prompt may fill, by the count of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget(i32);

impl Budget {
    /// The context window of a model without the reserve for output. `max_output_tokens` is the limit of the character.
    pub(super) fn of(model: &Model, max_output_tokens: Option<u32>) -> Self {
        let share = model.context_window / REPLY_SHARE;
        let reserved = max_output_tokens.or(model.max_output_tokens).unwrap_or(share).min(share);
        Self(i32::try_from(model.context_window - reserved).unwrap_or(i32::MAX))
    }

    /// The largest estimate of a prompt that fits.
    pub(super) fn estimated(self, ratio: Ratio) -> i32 {
        ratio.estimated(self.0)
    }
}

/// How a prompt fills its budget, in estimated tokens: first the system parts, then the summary, then the messages from
/// the newest backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the summary is sent. It is left out if it would take more than half of the room for messages, because it
    /// was written for a much larger window.
    pub(super) has_summary: bool,
    /// The tokens of everything before the messages.
    pub(super) fixed: i32,
    /// A message is sent if the tokens of the branch above it are at least this.
    pub(super) least_above: i32,
}

impl Plan {
    /// `system` are the tokens of the system parts, `summary` those of the summary, and `branch` those of the branch up
    /// to and including the newest message.
    pub(super) fn new(budget: i32, system: i32, summary: Option<i32>, branch: i32) -> Self {
        let room = budget.saturating_sub(system).max(0);
        let summary = summary.filter(|summary| *summary <= room / 2);
        let room = room - summary.unwrap_or(0);
        Self {
            has_summary: summary.is_some(),
            fixed: system.saturating_add(summary.unwrap_or(0)),
            least_above: branch.saturating_sub(room),
        }
    }

    /// Whether a message is sent, given the tokens of the branch above it. The newest message is always sent: if it is
    /// too long, the provider rejects the request.
    pub(super) fn sends(&self, above: i32) -> bool {
        above >= self.least_above
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_never_exceeds_its_budget(
            budget in 0..100_000_i32,
            system in 0..120_000_i32,
            summary in prop::option::of(0..20_000_i32),
            messages in prop::collection::vec(0..5_000_i32, 1..60),
        ) {
            let ends: Vec<i32> = messages.iter().scan(0, |sum, tokens| { *sum += tokens; Some(*sum) }).collect();
            let branch = ends[ends.len() - 1];
            let plan = Plan::new(budget, system, summary, branch);
            let above = |index: usize| if index == 0 { 0 } else { ends[index - 1] };
            let sent: Vec<usize> = (0..messages.len()).filter(|index| plan.sends(above(*index))).collect();
            // The newest messages, without a gap.
            prop_assert!(sent.iter().rev().zip((0..messages.len()).rev()).all(|(sent, index)| *sent == index));
            let tokens: i32 = sent.iter().map(|index| messages[*index]).sum();
            prop_assert!(tokens == 0 || plan.fixed + tokens <= budget);
            // The next older message would not fit.
            if let Some(next) = messages.len().checked_sub(sent.len() + 1) {
                prop_assert!(plan.fixed + tokens + messages[next] > budget.max(plan.fixed));
            }
            prop_assert!(!plan.has_summary || 2 * summary.unwrap() <= budget - system);
        }
    }
}
