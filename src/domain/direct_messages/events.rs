//! The viewer's direct messages, as a stream. The content of each event is read when the event is delivered.

use chrono::{DateTime, Utc};
use futures_util::stream::Stream;

use super::DirectMessages;
use crate::domain::delivery::deliver;
use crate::domain::{Client, Result, Viewer};
use crate::entity::ids::UserId;
use crate::entity::{conversation, direct_message};
use crate::events::{Event, Topic};
use crate::storage;

/// An event of direct messages.
#[derive(Debug, Clone)]
pub enum DirectMessageEvent {
    /// Events before this time may have been missed, and none after it. Always the first event.
    Started(DateTime<Utc>),
    /// The viewer received a message, or sent one from another connection.
    Received(direct_message::Model),
    /// One of the two users has read messages of a conversation.
    Read(conversation::Model),
}

impl DirectMessages {
    /// The messages that the viewer receives, and those sent from connections other than the client's. An event whose
    /// object no longer exists when it is delivered is skipped. The stream ends only with an error, after which events
    /// may be missing: [`Error::Unavailable`](crate::domain::Error::Unavailable) if the reader is too slow, or when the
    /// database is unavailable.
    pub fn events(
        &self,
        viewer: &Viewer,
        client: &Client,
    ) -> impl Stream<Item = Result<DirectMessageEvent>> + Send + use<> {
        let subscription = self.bus.subscribe(viewer.user_id, Topic::DirectMessages(client.connection));
        let (messages, viewer) = (self.clone(), viewer.user_id);
        deliver(subscription, move |next| {
            let messages = messages.clone();
            async move {
                match next {
                    Some(event) => messages.read_event(viewer, event).await,
                    None => Ok(Some(DirectMessageEvent::Started(messages.clock.now()))),
                }
            }
        })
    }

    async fn read_event(&self, viewer: UserId, event: Event) -> Result<Option<DirectMessageEvent>> {
        let db = self.database.reader();
        Ok(match event {
            Event::DirectMessageSent { id, .. } => {
                let found = storage::direct_messages::find_all(db, viewer, &[id], u64::MAX).await?;
                found.into_iter().next().map(DirectMessageEvent::Received)
            }
            Event::ConversationRead(id) => {
                let found = storage::conversations::find_all(db, viewer, &[id]).await?;
                found.into_iter().next().map(DirectMessageEvent::Read)
            }
            Event::ChatAdded(_)
            | Event::ChatChanged(_)
            | Event::ChatDeleted(_)
            | Event::MessageAdded(..)
            | Event::MessageChanged(..)
            | Event::MessageRemoved(..) => None,
        })
    }
}
