//! The subscriptions to replies.

use async_graphql::{Context, ID, Subscription};
use futures_util::stream::{BoxStream, StreamExt as _};

use super::ReplyEvent;
use super::planned::Handover;
use crate::domain::Result;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The subscriptions to replies.
#[derive(Debug, Default)]
pub struct ReplySubscriptions;

#[Subscription]
impl ReplySubscriptions {
    /// The events of one reply, starting at any position: in order, each exactly once, with none missing, followed by
    /// completion of the subscription. Content that accumulated while the client was disconnected or slow is delivered
    /// merged. Works while the reply is being generated, after it has ended, on any node, and after a restart.
    /// ReplyFinished is always sent, even if `after` is past the end: after a crash, a client may hold text that was
    /// never saved and must replace it with the parts of the message.
    async fn reply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the reply: an assistant message in a chat of the viewer.")] message_id: ID,
        #[graphql(
            desc = "The position that the client has reached. If absent, the subscription starts at the beginning of the reply."
        )]
        after: Option<i32>,
    ) -> Result<BoxStream<'static, Result<ReplyEvent>>> {
        let read = async {
            let (viewer, id) = (ctx.viewer()?, ids::parse(&message_id, "messageId")?);
            // Boxed, because the stream otherwise keeps the memory of this future for its whole lifetime.
            Ok(Box::pin(ctx.state().replies.read(viewer, id, after)).await?.boxed())
        };
        let events = Handover::resolve(ctx.data_opt(), read).await?;
        Ok(events.map(|event| event.map(ReplyEvent::from)).boxed())
    }
}
