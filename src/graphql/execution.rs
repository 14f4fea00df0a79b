//! The execution of operations, as the transport requests it.

use async_graphql::Response;
use futures_util::stream::BoxStream;

use crate::domain::{Client, Requester};
use crate::graphql::document::{Documents, Operation};

/// The sender of an operation.
#[derive(Debug, Clone)]
pub struct Caller {
    /// A viewer, an anonymous client, or a client with invalid credentials.
    pub requester: Requester,
    /// The address and the device.
    pub client: Client,
}

/// An event of a subscription.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// A response of the executor. Its errors are not finished.
    Response(Response),
    /// The JSON of `data` in a response without errors.
    Data(String),
}

/// Executes operations on a schema.
pub trait Execute: Clone + Send + Sync + 'static {
    /// The documents of the schema. They make the operations.
    fn documents(&self) -> &Documents;

    /// Executes a query or a mutation. Its errors are not finished.
    fn execute(&self, operation: Operation, caller: Caller) -> impl Future<Output = Response> + Send;

    /// Executes a subscription.
    fn subscribe(&self, operation: Operation, caller: Caller) -> BoxStream<'static, SubscriptionEvent>;
}
