//! An executor that conforms to the specification.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_graphql::indexmap::IndexMap;
use async_graphql::{Executor, Request, Response, Value};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::OnceCell;

use super::cache::{Documents, PreparedRequest};
use super::introspection::Introspection;

/// Wraps an executor: executes the operations that [`Documents`] prepares, and completes each response.
#[derive(Clone)]
pub struct ConformingExecutor<E> {
    executor: E,
    documents: Documents,
    introspection: Arc<OnceCell<Introspection>>,
}

impl<E: Executor> ConformingExecutor<E> {
    /// `documents` must have been made for the executor's schema.
    pub fn new(executor: E, documents: Documents) -> Self {
        Self { executor, documents, introspection: Arc::default() }
    }

    /// The documents of the schema.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Executes a query or a mutation that [`Documents::prepare`] has prepared.
    pub async fn execute(&self, request: Request, prepared: &PreparedRequest) -> Response {
        let mut response = self.run(request, prepared).await;
        prepared.complete(&mut response);
        response
    }

    /// Executes a subscription that [`Documents::prepare`] has prepared.
    pub fn subscribe(&self, request: Request, prepared: Arc<PreparedRequest>) -> BoxStream<'static, Response> {
        let mut responses = Some(self.executor.execute_stream(request, None));
        stream::poll_fn(move |context| {
            let Some(running) = &mut responses else { return Poll::Ready(None) };
            let outcome = running.poll_next_unpin(context);
            if prepared.is_exhausted() {
                responses = None;
                return Poll::Ready(Some(prepared.exhausted()));
            }
            outcome.map(|response| {
                let mut response = response?;
                prepared.complete(&mut response);
                prepared.budget.renew();
                Some(response)
            })
        })
        .boxed()
    }

    async fn run(&self, request: Request, prepared: &PreparedRequest) -> Response {
        if prepared.introspection.is_empty() {
            return self.resolve(request, prepared).await;
        }
        let introspection = match self.introspection.get_or_try_init(|| Introspection::read(&self.executor)).await {
            Ok(introspection) => introspection,
            Err(errors) => return Response::from_errors(errors),
        };
        let Ok(introspected) = introspection.resolve(&prepared.introspection, &prepared.budget).await else {
            return prepared.exhausted();
        };
        let mut response = if prepared.has_fields {
            self.resolve(request, prepared).await
        } else {
            Response::new(Value::Object(IndexMap::new()))
        };
        prepared.add(&mut response, introspected);
        response
    }

    async fn resolve(&self, request: Request, prepared: &PreparedRequest) -> Response {
        let mut execution = pin!(self.executor.execute(request));
        poll_fn(|context| {
            let outcome = execution.as_mut().poll(context);
            if prepared.is_exhausted() {
                return Poll::Ready(prepared.exhausted());
            }
            outcome
        })
        .await
    }
}
