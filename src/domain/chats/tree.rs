//! Positions of messages in the tree of a chat.

use sea_orm::ConnectionTrait;

use crate::domain::Result;
use crate::entity::ids::MessageId;
use crate::entity::message;
use crate::storage;

/// The columns that describe the position of a message in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) struct TreePosition {
    /// The parent message. None for a root.
    pub(in crate::domain) parent_id: Option<MessageId>,
    /// The number of ancestors.
    pub(in crate::domain) depth: i32,
    /// A pointer to an ancestor; see [`jump`].
    pub(in crate::domain) jump: Jump,
}

/// A pointer to an ancestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) struct Jump {
    /// The ancestor.
    pub(in crate::domain) id: MessageId,
    /// Its depth.
    pub(in crate::domain) depth: i32,
}

impl Jump {
    fn of(message: &message::Model) -> Self {
        Self { id: message.jump_id, depth: message.jump_depth }
    }
}

/// The jump pointer of a child of `parent`: a skew-binary pointer, after Myers, "An applicative random-access stack"
/// (1983). With it, any ancestor is reached in at most about 2·log₂(depth) steps. `beyond` is the jump pointer of the
/// parent's jump target.
pub(in crate::domain) fn jump(parent: Jump, parent_jump: Jump, beyond: Jump) -> Jump {
    if parent.depth - parent_jump.depth == parent_jump.depth - beyond.depth { beyond } else { parent }
}

/// The position of a message without a parent.
pub(in crate::domain) fn root(id: MessageId) -> TreePosition {
    TreePosition { parent_id: None, depth: 0, jump: Jump { id, depth: 0 } }
}

/// The position of a new child of `parent`.
///
/// # Errors
/// When the database fails.
pub(in crate::domain) async fn below(db: &impl ConnectionTrait, parent: &message::Model) -> Result<TreePosition> {
    let target = storage::messages::find_any(db, parent.jump_id).await?;
    let beyond = target.as_ref().map_or(Jump::of(parent), Jump::of);
    let jump = jump(Jump { id: parent.id, depth: parent.depth }, Jump::of(parent), beyond);
    Ok(TreePosition { parent_id: Some(parent.id), depth: parent.depth + 1, jump })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_ancestor_is_reached_in_logarithmic_steps() {
        let id = |depth: i32| MessageId(Uuid::from_u128(depth.unsigned_abs().into()));
        let mut jumps = vec![Jump { id: id(0), depth: 0 }];
        for depth in 1..5_000 {
            let parent = Jump { id: id(depth - 1), depth: depth - 1 };
            let parent_jump = jumps[parent.depth.unsigned_abs() as usize];
            jumps.push(jump(parent, parent_jump, jumps[parent_jump.depth.unsigned_abs() as usize]));
        }
        for from in [1, 2, 3, 100, 1_023, 1_024, 4_999_i32] {
            for to in (0..from).step_by(37) {
                let (mut at, mut steps) = (from, 0);
                while at > to {
                    let jump = jumps[at.unsigned_abs() as usize];
                    assert_eq!(jump.id, id(jump.depth));
                    at = if jump.depth >= to { jump.depth } else { at - 1 };
                    steps += 1;
                }
                assert!(at == to && steps <= 28, "{steps} steps from {from} to {to}");
            }
        }
    }
}
