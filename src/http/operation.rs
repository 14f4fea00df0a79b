//! One GraphQL operation, whatever transport it came by.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request, Response, ServerError, Value};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::{Instrument as _, Span};

use crate::domain::{Client, Requester};
use crate::graphql::RequestId;
use crate::graphql::budget::Budget;
use crate::graphql::document::Documents;
use crate::graphql::error::{ErrorCode, finish, request_error};
use crate::http::cost::Cost;
use crate::http::edge::Edge;
use crate::http::parameters::Parameters;
use crate::http::turns::Turn;

/// An operation whose document is valid.
pub(super) struct Operation {
    request: Request,
    pub(super) kind: OperationType,
    pub(super) cost: Cost,
    /// What it may use, and has used.
    pub(super) budget: Arc<Budget>,
}

/// On whose behalf an operation runs; resolvers find each part in their context's data.
pub(super) struct Caller {
    pub(super) requester: Requester,
    pub(super) client: Client,
    pub(super) request_id: RequestId,
}

impl Operation {
    /// Finds the document, and the operation in it that is to run. Its name goes to the current span, for the log.
    ///
    /// # Errors
    ///
    /// The document is not valid or beyond the limits, or it does not say which operation is meant.
    pub(super) fn parse(parameters: Parameters, documents: &Documents) -> Result<Self, Vec<ServerError>> {
        let document = documents.find(&parameters.query, &parameters.extensions)?;
        let operation = document.operation(parameters.operation_name.as_deref())?;
        let kind = operation.kind();
        let cost = Cost::of(document.root_fields(operation));
        // The parser lets only letters, digits and underscores into a name; only its length is the client's.
        let name: String = operation.name().into_iter().flat_map(str::chars).take(64).collect();
        Span::current().record("operation", format_args!("{kind} {name}"));
        let budget = documents.budget();
        let mut request = Request::new(parameters.query).variables(parameters.variables).data(document);
        request = request.data(budget.clone());
        request.operation_name = parameters.operation_name;
        request.extensions = parameters.extensions;
        Ok(Self { request, kind, cost, budget })
    }
}

/// The finished answer of a request that was not executed.
pub(super) fn refused(errors: impl Into<Vec<ServerError>>, request_id: RequestId) -> Response {
    let mut response = Response::from_errors(errors.into());
    finish(&mut response, request_id);
    response
}

impl<E: Executor> Edge<E> {
    /// Runs a query or a mutation. The answer is finished; a panic in a resolver is one of INTERNAL.
    ///
    /// Its turn ends with it. A query ends when its caller stops waiting. A mutation runs on the task tracker and always ends by itself: a client that
    /// goes away, a timeout, a `complete` stop the waiting, never the work.
    pub(super) async fn execute(&self, operation: Operation, caller: Caller, turn: Turn) -> Response {
        let request_id = caller.request_id;
        let is_mutation = operation.kind == OperationType::Mutation;
        let executor = self.executor.clone();
        let request = with_caller(operation.request, caller);
        let work = async move {
            let _turn = turn;
            let outcome = AssertUnwindSafe(executor.execute(request)).catch_unwind().await;
            outcome.map_or_else(
                |_| panicked(request_id),
                |mut response| {
                    finish(&mut response, request_id);
                    response
                },
            )
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
            let message =
                if is_mutation { "This takes too long; it goes on without you." } else { "This took too long." };
            refused(request_error(ErrorCode::Timeout, message), request_id)
        })
    }

    /// Lets who asks too often wait for the answer.
    pub(super) async fn hold_back(&self, response: &Response) {
        if response.errors.iter().any(is_for_haste) {
            tokio::time::sleep(self.limits.refusal_delay).await;
        }
    }

    /// Runs a subscription. Every event is finished; a panic in a resolver is a last one of INTERNAL.
    pub(super) fn subscribe(&self, operation: Operation, caller: Caller) -> BoxStream<'static, Response> {
        let request_id = caller.request_id;
        let events = self.executor.execute_stream(with_caller(operation.request, caller), None);
        AssertUnwindSafe(events)
            .catch_unwind()
            .map(move |event| match event {
                Ok(mut response) => {
                    finish(&mut response, request_id);
                    response
                }
                Err(_) => panicked(request_id),
            })
            .boxed()
    }
}

fn is_for_haste(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    [ErrorCode::RateLimited, ErrorCode::LockedOut].iter().any(|haste| code == Some(&Value::from(haste.as_str())))
}

fn with_caller(request: Request, caller: Caller) -> Request {
    request.data(caller.requester).data(caller.client).data(caller.request_id)
}

/// The panic hook has told what happened; this ties it to the request.
pub(super) fn panicked(request_id: RequestId) -> Response {
    let mut error = ServerError::new("a resolver panicked", None);
    error.source = Some(Arc::new(crate::domain::Error::internal("a resolver panicked")));
    refused(error, request_id)
}
