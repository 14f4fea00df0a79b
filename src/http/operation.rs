//! Execution of one GraphQL operation, independent of the transport.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError, Value};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::Instrument as _;

use crate::graphql::RequestId;
use crate::graphql::document::{Documents, Operation};
use crate::graphql::error::{ErrorCode, finish, request_error};
use crate::graphql::execution::{Caller, Execute, SubscriptionEvent};
use crate::http::concurrency::OperationPermit;
use crate::http::edge::Edge;
use crate::http::parameters::Parameters;
use crate::http::{request_log, traces};

/// Finds the document and the operation to execute. Records the operation in the current span, for the log.
///
/// # Errors
/// The document is invalid or exceeds a limit, or it does not contain the requested operation.
pub(super) fn find_operation(parameters: Parameters, documents: &Documents) -> Result<Operation, Vec<ServerError>> {
    let document = documents.find(&parameters.query, &parameters.extensions)?;
    let operation = documents.operation(document, parameters.operation_name.as_deref(), parameters.variables)?;
    request_log::record_operation(&operation);
    Ok(operation)
}

/// The response to a request that was not executed.
pub(super) fn refused(errors: impl Into<Vec<ServerError>>, request_id: RequestId) -> Response {
    let mut response = Response::from_errors(errors.into());
    finish(&mut response, request_id);
    response
}

impl<E: Execute> Edge<E> {
    /// Executes a query or mutation. Errors of the response are finished; a panic in a resolver becomes INTERNAL.
    ///
    /// The permit is released when the operation ends. Its heavy steps take turns with those of other operations. A
    /// query is cancelled when the caller stops waiting. A mutation runs on the task tracker to its end: a disconnect,
    /// a timeout or a `complete` message does not cancel it.
    pub(super) async fn execute(
        &self,
        operation: Operation,
        caller: Caller,
        request_id: RequestId,
        permit: OperationPermit,
    ) -> Response {
        let is_mutation = operation.kind() == OperationType::Mutation;
        let trace = traces::operation(&self.traces, &operation, request_id);
        let executor = self.executor.clone();
        let work = async move {
            let running = permit.run(trace.within(executor.execute(operation, caller)));
            let outcome = AssertUnwindSafe(running).catch_unwind().await;
            let response = outcome.map_or_else(
                |_| panicked(request_id),
                |mut response| {
                    finish(&mut response, request_id);
                    response
                },
            );
            traces::ended(&trace, &response.errors);
            response
        };
        let answer = if is_mutation {
            let work = self.tracker.spawn(work.in_current_span());
            tokio::time::timeout(self.limits.operation_timeout, work)
                .await
                .map(|outcome| outcome.unwrap_or_else(|_| panicked(request_id)))
        } else {
            tokio::time::timeout(self.limits.operation_timeout, work).await
        };
        answer.unwrap_or_else(|_| {
            let message = if is_mutation { "Timed out; the mutation may still complete." } else { "Timed out." };
            refused(request_error(ErrorCode::Timeout, message), request_id)
        })
    }

    /// Delays the response to a rate-limited client.
    pub(super) async fn delay_if_throttled(&self, response: &Response) {
        if response.errors.iter().any(is_throttling) {
            tokio::time::sleep(self.limits.refusal_delay).await;
        }
    }

    /// Executes a subscription. Errors of each event are finished; a panic in a resolver ends the stream with INTERNAL.
    pub(super) fn subscribe(
        &self,
        operation: Operation,
        caller: Caller,
        request_id: RequestId,
    ) -> BoxStream<'static, SubscriptionEvent> {
        let trace = traces::operation(&self.traces, &operation, request_id);
        let events = self.executor.subscribe(operation, caller);
        AssertUnwindSafe(events)
            .catch_unwind()
            .map(move |event| {
                let response = match event {
                    Ok(SubscriptionEvent::Response(mut response)) => {
                        finish(&mut response, request_id);
                        response
                    }
                    Ok(data) => return data,
                    Err(_) => panicked(request_id),
                };
                traces::ended(&trace, &response.errors);
                SubscriptionEvent::Response(response)
            })
            .boxed()
    }
}

fn is_throttling(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    [ErrorCode::RateLimited, ErrorCode::LockedOut]
        .iter()
        .any(|code_of_throttling| code == Some(&Value::from(code_of_throttling.as_str())))
}

/// The panic hook has logged the panic; this error relates it to the request.
pub(super) fn panicked(request_id: RequestId) -> Response {
    let mut error = ServerError::new("a resolver panicked", None);
    error.source = Some(Arc::new(crate::domain::Error::internal("a resolver panicked")));
    refused(error, request_id)
}
