//! The changes of a viewer's chats, as a stream. The content of each event is read when the event is delivered.

use chrono::{DateTime, Utc};
use futures_util::stream::Stream;

use super::Chats;
use crate::domain::delivery::deliver;
use crate::domain::{Error, Result, Viewer};
use crate::entity::ids::{ChatId, MessageId, UserId};
use crate::entity::{chat, message};
use crate::events::{Event, Topic};
use crate::storage;

/// A change of one of the viewer's chats.
#[derive(Debug, Clone)]
pub enum ChatEvent {
    /// Changes before this time may have been missed, and none after it. Always the first event.
    Started(DateTime<Utc>),
    /// A chat was created.
    ChatAdded(chat::Model),
    /// The title, model, character, flags or active branch of a chat changed.
    ChatChanged(chat::Model),
    /// A chat was deleted.
    ChatDeleted(ChatId),
    /// A message other than a greeting was created.
    MessageAdded(message::Model),
    /// A message reached its final state, or was rated.
    MessageChanged(message::Model),
    /// A message and all its descendants were deleted.
    MessageRemoved(ChatId, MessageId),
}

impl Chats {
    /// The changes of one chat, or of all of the viewer's chats. An event whose chat or message no longer exists when
    /// it is delivered is skipped. The stream ends only with an error, after which changes may be missing.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the viewer has no such chat. Items are [`Error::Unavailable`] if the reader is too slow,
    /// or when the database is unavailable.
    pub async fn events(
        &self,
        viewer: &Viewer,
        chat: Option<ChatId>,
    ) -> Result<impl Stream<Item = Result<ChatEvent>> + Send + use<>> {
        let subscription = self.bus.subscribe(viewer.user_id, chat.map_or(Topic::Chats, Topic::Chat));
        if let Some(id) = chat {
            self.find(viewer, id).await?.ok_or(Error::NotFound)?;
        }
        let (chats, viewer) = (self.clone(), viewer.user_id);
        Ok(deliver(subscription, move |next| {
            let chats = chats.clone();
            async move {
                match next {
                    Some(event) => chats.read_event(viewer, event).await,
                    None => Ok(Some(ChatEvent::Started(chats.clock.now()))),
                }
            }
        }))
    }

    async fn read_event(&self, viewer: UserId, event: Event) -> Result<Option<ChatEvent>> {
        let db = self.database.reader();
        let chat = async |id| storage::chats::find(db, viewer, id).await;
        let message = async |id| storage::messages::find(db, viewer, id).await;
        Ok(match event {
            Event::ChatAdded(id) => chat(id).await?.map(ChatEvent::ChatAdded),
            Event::ChatChanged(id) => chat(id).await?.map(ChatEvent::ChatChanged),
            Event::ChatDeleted(id) => Some(ChatEvent::ChatDeleted(id)),
            Event::MessageAdded(_, id) => message(id).await?.map(ChatEvent::MessageAdded),
            Event::MessageChanged(_, id) => message(id).await?.map(ChatEvent::MessageChanged),
            Event::MessageRemoved(chat, id) => Some(ChatEvent::MessageRemoved(chat, id)),
            Event::DirectMessageSent { .. } | Event::ConversationRead(_) => None,
        })
    }
}
