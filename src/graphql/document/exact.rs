//! An executor behind this layer.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::cache::Documents;

/// Executes a schema exactly: prepares each request, and completes each response.
#[derive(Clone)]
pub struct Exact<E> {
    executor: E,
    documents: Documents,
}

impl<E> Exact<E> {
    /// `documents` are those of the executor's schema.
    pub fn new(executor: E, documents: Documents) -> Self {
        Self { executor, documents }
    }

    /// The documents of the schema.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }
}

impl<E: Executor> Executor for Exact<E> {
    async fn execute(&self, request: Request) -> Response {
        match self.documents.prepare(request) {
            Ok((request, prepared)) => {
                let mut response = self.executor.execute(request).await;
                prepared.complete(&mut response);
                response
            }
            Err(errors) => Response::from_errors(errors),
        }
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        match self.documents.prepare(request) {
            Ok((request, prepared)) => {
                let responses = self.executor.execute_stream(request, session_data);
                responses
                    .map(move |mut response| {
                        prepared.complete(&mut response);
                        response
                    })
                    .boxed()
            }
            Err(errors) => stream::once(std::future::ready(Response::from_errors(errors))).boxed(),
        }
    }
}
