//! The events of the `directMessages` subscription.

use std::sync::Arc;

use async_graphql::{Context, SimpleObject, Subscription, Union};
use futures_util::{Stream, StreamExt as _};

use super::loaders::size_of_direct_message;
use super::{Conversation, DirectMessage};
use crate::domain::{self, Result};
use crate::graphql::budget::Budget;
use crate::graphql::chats::EventsStarted;
use crate::graphql::context::ContextExt as _;
use crate::graphql::loaders::ROW;

/// An event of direct messages. Its content is read when the event is delivered, so it can be newer than the event.
#[derive(Debug, Union)]
pub enum DirectMessageEvent {
    /// The subscription is active.
    Started(EventsStarted),
    /// A message was received, or sent from another connection.
    Received(DirectMessageReceived),
    /// Messages were read.
    Read(ConversationRead),
}

/// The viewer received a message, or sent one from another connection.
#[derive(Debug, SimpleObject)]
pub struct DirectMessageReceived {
    /// The message.
    direct_message: DirectMessage,
}

/// The viewer or the other user has read messages of a conversation.
#[derive(Debug, SimpleObject)]
pub struct ConversationRead {
    /// The conversation, with `unreadCount` and `readUntil`.
    conversation: Conversation,
}

impl DirectMessageEvent {
    fn new(event: domain::direct_messages::DirectMessageEvent, budget: &Budget) -> Result<Self> {
        use domain::direct_messages::DirectMessageEvent as Event;
        let bytes = match &event {
            Event::Started(at) => return Ok(Self::Started(EventsStarted::new(*at))),
            Event::Received(message) => size_of_direct_message(message),
            Event::Read(_) => ROW,
        };
        // What was read for the event.
        budget.statements(1)?;
        budget.bytes(bytes)?;
        Ok(match event {
            Event::Started(at) => Self::Started(EventsStarted::new(at)),
            Event::Received(message) => {
                Self::Received(DirectMessageReceived { direct_message: DirectMessage(Arc::new(message)) })
            }
            Event::Read(conversation) => Self::Read(ConversationRead { conversation: Conversation(conversation) }),
        })
    }
}

/// The subscriptions to direct messages.
#[derive(Debug, Default)]
pub struct DirectMessageSubscriptions;

#[Subscription]
impl DirectMessageSubscriptions {
    /// The viewer's direct messages: those received, and those sent from the viewer's other connections. A message that
    /// was sent over the socket of the subscription is not repeated on it. ConversationRead is sent to both users.
    /// EventsStarted is the first event; it is sent again if the server may have missed changes, as in `chatEvents`.
    /// Events can be repeated, and their order is not defined. A subscription that is read too slowly ends with
    /// UNAVAILABLE.
    async fn direct_messages(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<DirectMessageEvent>> + use<>> {
        let events = ctx.state().direct_messages.events(ctx.viewer()?, ctx.client());
        let budget = Arc::clone(ctx.data_unchecked::<Arc<Budget>>());
        Ok(events.map(move |event| DirectMessageEvent::new(event?, &budget)))
    }
}
