//! Execution of one GraphQL operation, independent of the transport.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Value};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::Instrument as _;

use crate::domain::{Client, Requester};
use crate::graphql::RequestId;
use crate::graphql::budget::Budget;
use crate::graphql::document::Documents;
use crate::graphql::error::{ErrorCode, finish, request_error};
use crate::graphql::subscriptions::{Subscribe, SubscriptionEvent};
use crate::http::concurrency::OperationPermit;
use crate::http::cost::Cost;
use crate::http::edge::Edge;
use crate::http::parameters::Parameters;
use crate::http::{request_log, traces};

/// An operation of a valid document.
pub(super) struct Operation {
    request: Request,
    pub(super) kind: OperationType,
    /// The name, cut to a maximum length.
    name: Option<String>,
    pub(super) cost: Cost,
    /// Limits and counts its use of resources.
    pub(super) budget: Arc<Budget>,
}

/// The client of an operation; resolvers get each part from their context.
pub(super) struct Caller {
    pub(super) requester: Requester,
    pub(super) client: Client,
    pub(super) request_id: RequestId,
}

impl Operation {
    /// Finds the document and the operation to execute. Records the operation's name in the current span, for the log.
    ///
    /// # Errors
    /// The document is invalid or exceeds a limit, or it does not contain the requested operation.
    pub(super) fn parse(parameters: Parameters, documents: &Documents) -> Result<Self, Vec<ServerError>> {
        let document = documents.find(&parameters.query, &parameters.extensions)?;
        let operation = document.operation(parameters.operation_name.as_deref())?;
        let kind = operation.kind();
        let name = operation.name().map(request_log::short);
        let cost = Cost::of(document.root_fields(operation));
        request_log::record_operation(kind, name.as_deref());
        let budget = documents.budget();
        let mut request = Request::new(parameters.query).variables(parameters.variables).data(document);
        request = request.data(budget.clone());
        request.operation_name = parameters.operation_name;
        request.extensions = parameters.extensions;
        Ok(Self { request, kind, name, cost, budget })
    }
}

/// The response to a request that was not executed.
pub(super) fn refused(errors: impl Into<Vec<ServerError>>, request_id: RequestId) -> Response {
    let mut response = Response::from_errors(errors.into());
    finish(&mut response, request_id);
    response
}

impl<E: Subscribe> Edge<E> {
    /// Executes a query or mutation. Errors of the response are finished; a panic in a resolver becomes INTERNAL.
    ///
    /// The permit is released when the operation ends. A query is cancelled when the caller stops waiting. A mutation
    /// runs on the task tracker to its end: a disconnect, a timeout or a `complete` message does not cancel it.
    pub(super) async fn execute(&self, operation: Operation, caller: Caller, permit: OperationPermit) -> Response {
        let request_id = caller.request_id;
        let is_mutation = operation.kind == OperationType::Mutation;
        let trace = traces::operation(&self.traces, operation.kind, operation.name.as_deref(), request_id);
        let executor = self.executor.clone();
        let request = with_caller(operation.request, caller);
        let work = async move {
            let _permit = permit;
            let outcome = AssertUnwindSafe(trace.within(executor.execute(request))).catch_unwind().await;
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
    pub(super) fn subscribe(&self, operation: Operation, caller: Caller) -> BoxStream<'static, SubscriptionEvent> {
        let request_id = caller.request_id;
        let trace = traces::operation(&self.traces, operation.kind, operation.name.as_deref(), request_id);
        let events = self.executor.subscribe(with_caller(operation.request, caller));
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

fn with_caller(request: Request, caller: Caller) -> Request {
    request.data(caller.requester).data(caller.client).data(caller.request_id)
}

/// The panic hook has logged the panic; this error relates it to the request.
pub(super) fn panicked(request_id: RequestId) -> Response {
    let mut error = ServerError::new("a resolver panicked", None);
    error.source = Some(Arc::new(crate::domain::Error::internal("a resolver panicked")));
    refused(error, request_id)
}
