//! The events of subscriptions, as the transport sends them.

use async_graphql::{Executor, Request, Response};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use crate::graphql::document::ConformingExecutor;

/// An event of a subscription.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// A response of the executor. Its errors are not finished.
    Response(Response),
    /// The JSON of `data` in a response without errors.
    Data(String),
}

/// An executor that can write events of subscriptions as JSON by itself.
pub trait Subscribe: Executor {
    /// Executes a subscription.
    fn subscribe(&self, request: Request) -> BoxStream<'static, SubscriptionEvent> {
        self.execute_stream(request, None).map(SubscriptionEvent::Response).boxed()
    }
}

impl<E: Executor> Subscribe for ConformingExecutor<E> {}
