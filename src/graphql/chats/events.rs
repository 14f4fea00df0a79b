//! The events of the `chatEvents` subscription.

use std::sync::Arc;

use async_graphql::{Context, ID, SimpleObject, Subscription, Union};
use futures_util::{Stream, StreamExt as _};

use super::{Chat, Message};
use crate::domain::{self, Result};
use crate::graphql::budget::Budget;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::{ROW, size_of_message};
use crate::graphql::scalars::DateTime;

/// A change of a chat. Its content is read when the event is delivered, so it can be newer than the change.
#[derive(Debug, Union)]
pub enum ChatEvent {
    /// The subscription is active.
    Started(EventsStarted),
    /// A chat was created.
    ChatAdded(ChatAdded),
    /// A chat changed.
    ChatChanged(ChatChanged),
    /// A chat was deleted.
    ChatDeleted(ChatDeleted),
    /// A message was created.
    MessageAdded(MessageAdded),
    /// A message changed.
    MessageChanged(MessageChanged),
    /// Messages were deleted.
    MessageRemoved(MessageRemoved),
}

/// The subscription is active: every later change is sent as an event. Always the first event. Sent again if the server
/// may have missed changes; query after every EventsStarted.
#[derive(Debug, SimpleObject)]
pub struct EventsStarted {
    /// The time from which on no change is missed.
    at: DateTime,
}

impl EventsStarted {
    /// No change after `at` is missed.
    pub fn new(at: chrono::DateTime<chrono::Utc>) -> Self {
        Self { at: DateTime(at) }
    }
}

/// A chat was created.
#[derive(Debug, SimpleObject)]
pub struct ChatAdded {
    /// The new chat. The character's greeting, if there is one, is among its messages and has no event of its own.
    chat: Chat,
}

/// The title, model, character, flags or active branch of a chat changed. Not sent for a message that extends the
/// active branch.
#[derive(Debug, SimpleObject)]
pub struct ChatChanged {
    /// The changed chat.
    chat: Chat,
}

/// A chat was deleted.
#[derive(Debug, SimpleObject)]
pub struct ChatDeleted {
    /// The ID of the deleted chat.
    chat_id: ID,
}

/// A message was created. Not sent for the greeting of a new chat.
#[derive(Debug, SimpleObject)]
pub struct MessageAdded {
    /// The new message. If its status is STREAMING, read it with the `reply` subscription.
    message: Message,
}

/// A message reached its final state or was rated. Not sent while a reply grows.
#[derive(Debug, SimpleObject)]
pub struct MessageChanged {
    /// The changed message.
    message: Message,
}

/// A message and all its descendants were deleted.
#[derive(Debug, SimpleObject)]
pub struct MessageRemoved {
    /// The ID of the chat.
    chat_id: ID,
    /// The ID of the deleted message. There is no event for its descendants.
    message_id: ID,
}

impl ChatEvent {
    fn new(event: domain::chats::ChatEvent) -> Self {
        use domain::chats::ChatEvent as Event;
        match event {
            Event::Started(at) => Self::Started(EventsStarted::new(at)),
            Event::ChatAdded(chat) => Self::ChatAdded(ChatAdded { chat: Chat::new(chat) }),
            Event::ChatChanged(chat) => Self::ChatChanged(ChatChanged { chat: Chat::new(chat) }),
            Event::ChatDeleted(id) => Self::ChatDeleted(ChatDeleted { chat_id: ids::show(id) }),
            Event::MessageAdded(message) => Self::MessageAdded(MessageAdded { message: Message::new(message) }),
            Event::MessageChanged(message) => Self::MessageChanged(MessageChanged { message: Message::new(message) }),
            Event::MessageRemoved(chat, id) => {
                Self::MessageRemoved(MessageRemoved { chat_id: ids::show(chat), message_id: ids::show(id) })
            }
        }
    }
}

/// Charges the row that was read for an event.
fn charge(budget: &Budget, event: &domain::chats::ChatEvent) -> Result<()> {
    use domain::chats::ChatEvent as Event;
    let bytes = match event {
        Event::Started(_) | Event::ChatDeleted(_) | Event::MessageRemoved(..) => return Ok(()),
        Event::ChatAdded(_) | Event::ChatChanged(_) => ROW,
        Event::MessageAdded(message) | Event::MessageChanged(message) => size_of_message(message),
    };
    budget.statements(1)?;
    budget.bytes(bytes)
}

/// The subscriptions to chats.
#[derive(Debug, Default)]
pub struct ChatSubscriptions;

#[Subscription]
impl ChatSubscriptions {
    /// The changes of one chat, or of all of the viewer's chats, from all devices. EventsStarted is the first event of
    /// every subscription, including after a reconnect: a client that queries when it receives EventsStarted misses
    /// nothing. EventsStarted is sent again if the server may have missed changes; the client then queries again.
    /// Events can be repeated, their order is not defined, and repeated changes of an object can be merged into one
    /// event. An event whose object no longer exists is not sent. A subscription that is read too slowly ends with
    /// UNAVAILABLE.
    async fn chat_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The ID of a chat of the viewer; NOT_FOUND if there is none. If absent, the events of all of the viewer's chats are sent."
        )]
        chat_id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<ChatEvent>> + use<>> {
        let (viewer, chat) = (ctx.viewer()?, ids::parse_optional(chat_id.as_ref(), "chatId")?);
        // Boxed, because the stream otherwise keeps the memory of this future for its whole lifetime.
        let events = Box::pin(ctx.state().chats.events(viewer, chat)).await?;
        let budget = Arc::clone(ctx.data_unchecked::<Arc<Budget>>());
        Ok(events.map(move |event| {
            let event = event?;
            charge(&budget, &event)?;
            Ok(ChatEvent::new(event))
        }))
    }
}
