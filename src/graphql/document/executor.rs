//! An executor that conforms to the specification.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_graphql::{Data, Executor, Request, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::cache::{Documents, PreparedRequest};

/// Wraps an executor: prepares each request and completes each response.
#[derive(Clone)]
pub struct ConformingExecutor<E> {
    executor: E,
    documents: Documents,
}

impl<E: Executor> ConformingExecutor<E> {
    /// `documents` must have been made for the executor's schema.
    pub fn new(executor: E, documents: Documents) -> Self {
        Self { executor, documents }
    }

    /// The documents of the schema.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Executes a subscription that [`Documents::prepare`] has prepared.
    pub fn execute_prepared(
        &self,
        request: Request,
        prepared: Arc<PreparedRequest>,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let mut responses = Some(self.executor.execute_stream(request, session_data));
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
}

impl<E: Executor> Executor for ConformingExecutor<E> {
    async fn execute(&self, request: Request) -> Response {
        let (request, prepared) = match self.documents.prepare(request) {
            Ok(prepared) => prepared,
            Err(errors) => return Response::from_errors(errors),
        };
        let mut execution = pin!(self.executor.execute(request));
        poll_fn(|context| {
            let outcome = execution.as_mut().poll(context);
            if prepared.is_exhausted() {
                return Poll::Ready(prepared.exhausted());
            }
            outcome.map(|mut response| {
                prepared.complete(&mut response);
                response
            })
        })
        .await
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        match self.documents.prepare(request) {
            Ok((request, prepared)) => self.execute_prepared(request, prepared, session_data),
            Err(errors) => stream::once(std::future::ready(Response::from_errors(errors))).boxed(),
        }
    }
}
