//! Changes of stored objects, as they reach subscribers: an event names the changed objects and has no content. The
//! subscriber reads the content when the event is delivered, with the rights that it then has. Therefore neither the
//! order of events nor repeats matter.
//!
//! Each user has a channel. Events are published after the transaction of the change is committed.

use crate::entity::ids::{ChatId, ConnectionId, ConversationId, DirectMessageId, MessageId, UserId};

mod in_process;
mod subscription;

pub use in_process::InProcess;
pub use subscription::{Next, Subscription};

/// A change of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A chat was created.
    ChatAdded(ChatId),
    /// The title, model, character, flags or active branch of a chat changed.
    ChatChanged(ChatId),
    /// A chat was deleted.
    ChatDeleted(ChatId),
    /// A message other than a greeting was created in a chat.
    MessageAdded(ChatId, MessageId),
    /// A message in a chat reached its final state, or was rated.
    MessageChanged(ChatId, MessageId),
    /// A message in a chat and all its descendants were deleted.
    MessageRemoved(ChatId, MessageId),
    /// A direct message was sent. Published to both users.
    DirectMessageSent {
        /// The message.
        id: DirectMessageId,
        /// The WebSocket over which it was sent. Its subscriptions do not receive the event.
        from: Option<ConnectionId>,
    },
    /// One of its users has read messages of a conversation. Published to both users.
    ConversationRead(ConversationId),
}

/// The events of a channel that a subscription receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The events of all chats.
    Chats,
    /// The events of one chat.
    Chat(ChatId),
    /// The events of direct messages, for a subscription on this WebSocket.
    DirectMessages(Option<ConnectionId>),
}

impl Topic {
    /// Whether a subscription to this topic receives the event.
    fn includes(self, event: &Event) -> bool {
        match event {
            Event::ChatAdded(chat)
            | Event::ChatChanged(chat)
            | Event::ChatDeleted(chat)
            | Event::MessageAdded(chat, _)
            | Event::MessageChanged(chat, _)
            | Event::MessageRemoved(chat, _) => self == Self::Chats || self == Self::Chat(*chat),
            Event::DirectMessageSent { from, .. } => match self {
                Self::DirectMessages(connection) => from.is_none() || *from != connection,
                Self::Chats | Self::Chat(_) => false,
            },
            Event::ConversationRead(_) => matches!(self, Self::DirectMessages(_)),
        }
    }
}

/// Carries events from the place of a change to the subscriptions of a user.
pub trait Bus: Send + Sync {
    /// Publishes events on the channel of a user. Never waits, and never fails: a subscription that cannot be reached
    /// receives [`Next::Started`] again instead.
    fn publish(&self, user: UserId, events: &[Event]);

    /// Subscribes to a channel. All events published after [`Next::Started`] are received.
    fn subscribe(&self, user: UserId, topic: Topic) -> Subscription;
}
