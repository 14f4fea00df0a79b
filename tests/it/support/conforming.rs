//! An executor of a test schema with the document layer.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response, ServerError};
use duologue::graphql::document::{ConformingExecutor, Documents, Operation, PreparedRequest};
use duologue::graphql::execution::{Caller, Execute, SubscriptionEvent};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

/// Executes requests of async-graphql, and operations of the edge. Resolvers get the data of the request, or the
/// [`Caller`].
#[derive(Clone)]
pub(crate) struct Conforming<E>(ConformingExecutor<E>);

impl<E: Executor> Conforming<E> {
    pub(crate) fn new(executor: E, documents: Documents) -> Self {
        Self(ConformingExecutor::new(executor, documents))
    }

    fn prepare(&self, request: Request) -> Result<(Request, Arc<PreparedRequest>), Vec<ServerError>> {
        let documents = self.0.documents();
        let document = documents.find(&request.query, &request.extensions)?;
        let operation = documents.operation(document, request.operation_name.as_deref(), request.variables)?;
        let (mut prepared_request, prepared) = documents.prepare(operation)?;
        prepared_request.data = request.data;
        Ok((prepared_request, prepared))
    }
}

impl<E: Executor> Executor for Conforming<E> {
    async fn execute(&self, request: Request) -> Response {
        match self.prepare(request) {
            Ok((request, prepared)) => self.0.execute(request, &prepared).await,
            Err(errors) => Response::from_errors(errors),
        }
    }

    /// Executes a subscription.
    fn execute_stream(&self, request: Request, _: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        match self.prepare(request) {
            Ok((request, prepared)) => self.0.subscribe(request, prepared),
            Err(errors) => stream::iter([Response::from_errors(errors)]).boxed(),
        }
    }
}

impl<E: Executor> Execute for Conforming<E> {
    fn documents(&self) -> &Documents {
        self.0.documents()
    }

    async fn execute(&self, operation: Operation, caller: Caller) -> Response {
        match self.documents().prepare(operation) {
            Ok((request, prepared)) => self.0.execute(request.data(caller), &prepared).await,
            Err(errors) => Response::from_errors(errors),
        }
    }

    fn subscribe(&self, operation: Operation, caller: Caller) -> BoxStream<'static, SubscriptionEvent> {
        let responses = match self.documents().prepare(operation) {
            Ok((request, prepared)) => self.0.subscribe(request.data(caller), prepared),
            Err(errors) => stream::iter([Response::from_errors(errors)]).boxed(),
        };
        responses.map(SubscriptionEvent::Response).boxed()
    }
}
