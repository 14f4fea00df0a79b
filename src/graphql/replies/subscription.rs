//! The subscriptions of this slice.

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt as _};

use super::ReplyEvent;
use crate::domain::Result;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The subscriptions of this slice.
#[derive(Debug, Default)]
pub struct ReplySubscriptions;

#[Subscription]
impl ReplySubscriptions {
    /// One reply, from any point: its events in order, each once, none missing, then completion. What piled up while the
    /// client was away or slow arrives merged. It works while the reply is written, after it ended, on any node, and after
    /// a restart. ReplyFinished always comes, also when `after` is past the end: after a crash a client may hold text that
    /// was never saved, and takes the message's parts instead.
    async fn reply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The reply: a message of the assistant in a chat of the viewer.")] message_id: ID,
        #[graphql(desc = "The position that the client has reached; absent is the beginning.")] after: Option<i32>,
    ) -> Result<impl Stream<Item = Result<ReplyEvent>> + use<>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&message_id, "messageId")?);
        // Boxed: a subscription keeps the space of how it began as long as it lasts.
        let events = Box::pin(ctx.state().replies.read(viewer, id, after)).await?;
        Ok(events.map(|event| event.map(ReplyEvent::from)))
    }
}
