//! The tree of a chat: inserting messages, and their jump pointers.

use sea_orm::ConnectionTrait;

use crate::domain::{Result, search};
use crate::entity::ids::MessageId;
use crate::entity::{chat, message};
use crate::storage;

/// A pointer to an ancestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jump {
    /// The ancestor.
    id: MessageId,
    /// Its depth.
    depth: i32,
}

/// A message and its pointer.
#[derive(Debug, Clone, Copy)]
struct Node {
    at: Jump,
    jump: Jump,
}

impl Node {
    fn of(message: &message::Model) -> Self {
        Self {
            at: Jump { id: message.id, depth: message.depth },
            jump: Jump { id: message.jump_id, depth: message.jump_depth },
        }
    }
}

/// The jump pointer of a child of `parent`: a skew-binary pointer, after Myers, "An applicative random-access stack"
/// (1983). With it, any ancestor is reached in at most about 2·log₂(depth) steps. `beyond` is the jump pointer of the
/// parent's jump target.
fn jump(parent: Jump, parent_jump: Jump, beyond: Jump) -> Jump {
    if parent.depth - parent_jump.depth == parent_jump.depth - beyond.depth { beyond } else { parent }
}

/// Inserts new messages into a chat's tree: the first below `parent` (if none, as a root), each other one below the
/// message before it. The last one becomes the end of the active branch. The caller holds the lock of the chat and
/// saves `chat`.
///
/// # Errors
/// When the database fails.
pub(in crate::domain) async fn append(
    db: &impl ConnectionTrait,
    chat: &mut chat::Model,
    parent: Option<&message::Model>,
    messages: &mut [message::Model],
) -> Result<()> {
    if let Some(parent) = parent {
        storage::messages::mark_followed(db, parent.id).await?;
    }
    let mut above = parent.map(Node::of);
    for message in messages.iter_mut() {
        if let Some(above) = above {
            let jump = jump_below(db, above).await?;
            (message.parent_id, message.depth) = (Some(above.at.id), above.at.depth + 1);
            (message.jump_id, message.jump_depth) = (jump.id, jump.depth);
        }
        message.is_leaf = false;
        above = Some(Node::of(message));
    }
    if let Some(last) = messages.last_mut() {
        last.is_leaf = true;
        chat.leaf_id = Some(last.id);
    }
    storage::messages::insert(db, messages).await?;
    search::index(db, messages.iter()).await?;
    chat.message_count = chat.message_count.saturating_add(i32::try_from(messages.len()).unwrap_or(i32::MAX));
    Ok(())
}

/// The jump pointer of a new child of `parent`.
async fn jump_below(db: &impl ConnectionTrait, parent: Node) -> Result<Jump> {
    // The jump pointer of a root is the root itself.
    let beyond = match parent.jump.id == parent.at.id {
        true => Some(parent.jump),
        false => storage::branches::jump(db, parent.jump.id).await?.map(|(id, depth)| Jump { id, depth }),
    };
    Ok(jump(parent.at, parent.jump, beyond.unwrap_or(parent.jump)))
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
