//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>).

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;

use crate::graphql::RequestId;
use crate::graphql::error::{ErrorCode, request_error};
use crate::graphql::execution::{Caller, Execute};
use crate::http::answer::{Refusal, answer};
use crate::http::client::{authorization, client};
use crate::http::connections::{Held, Input};
use crate::http::cost::Cost;
use crate::http::edge::Shared;
use crate::http::limits::Limits;
use crate::http::media::{self, Media};
use crate::http::metrics::Counted;
use crate::http::operation::{find_operation, refused};
use crate::http::parameters::{BATCH, Malformed, Parameters, TOO_MANY_VALUES, ValueCounter};
use crate::http::rate_limit::Verdict;
use crate::http::rate_limit_key::RateLimitKey;
use crate::http::{playground, request_log, websocket};

/// The maximum number of bytes that are read and discarded beyond the body limit.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

/// Bodies up to this size are read before the rate limit is checked, in bytes.
const MAX_UNCHECKED_BODY: usize = 16 * 1024;

/// Handles `/graphql`: GET, POST, WebSocket upgrades, and the playground for browsers.
pub(super) async fn handle<E: Execute>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let media = Media::negotiate(&parts.headers);
    let request_id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(|| shared.new_request_id());
    let outcome = if websocket::is_upgrade(&parts) {
        websocket::upgrade(shared, parts).await
    } else if shared.edge.playground && playground::is_wanted(&parts) {
        Ok(playground::page(&parts.headers))
    } else {
        let mut counted = Counted::new(&shared.edge.metrics, "http");
        let outcome = run(&shared, &parts, body, media, request_id, &mut counted).await;
        if let Err(refusal) = &outcome {
            counted.failed(refusal.code());
        }
        outcome
    };
    outcome.unwrap_or_else(|refusal| refusal.into_response(media, request_id))
}

async fn run<E: Execute>(
    shared: &Shared<E>,
    parts: &Parts,
    body: Body,
    media: Media,
    request_id: RequestId,
    counted: &mut Counted,
) -> Result<Response, Refusal> {
    let client = client(&shared.edge, parts);
    let (body, _held) = match parts.method {
        Method::GET => (Ok(Bytes::new()), None),
        Method::POST => {
            if !media::is_json(&parts.headers) {
                let message = "The Content-Type must be application/json in UTF-8.";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::InvalidInput, message));
            }
            if announced(&parts.headers).is_none_or(|length| length > MAX_UNCHECKED_BODY) {
                let requester = (shared.edge.authenticate)(authorization(&parts.headers)?, client.clone()).await;
                if let Err((errors, verdict)) = shared.peek(RateLimitKey::of(&requester, &client)) {
                    request_log::record_user(&requester);
                    let response = refused(errors, request_id);
                    counted.seen(&response.errors);
                    // The client cannot send more during the delay than fits into the buffers of the connection.
                    shared.edge.delay_if_throttled(&response).await;
                    discard(body, &shared.edge.limits).await;
                    return Ok(finished(media, &response, &verdict));
                }
            }
            let input = parts.extensions.get::<Arc<Input>>();
            read_body(&parts.headers, body, input, &shared.edge.limits).await?
        }
        _ => return Err(Refusal::method("GET, POST", "Method not allowed. Use POST, or GET for queries.")),
    };
    let requester = (shared.edge.authenticate)(authorization(&parts.headers)?, client.clone()).await;
    request_log::record_user(&requester);
    let query = parts.uri.query().unwrap_or_default();
    let length = match &body {
        _ if parts.method == Method::GET => query.len(),
        Ok(body) => body.len(),
        Err(_) => usize::MAX,
    };
    let permit = match shared.admit(RateLimitKey::of(&requester, &client), length).await {
        Ok(permit) => permit,
        Err((errors, verdict)) => {
            let response = refused(errors, request_id);
            counted.seen(&response.errors);
            shared.edge.delay_if_throttled(&response).await;
            return Ok(finished(media, &response, &verdict));
        }
    };
    let turn = shared.turn(length).await;
    let parameters = match parts.method {
        Method::GET => Parameters::from_query_string(query),
        _ => body.and_then(|body| Parameters::from_json(&body)),
    };
    let operation = match parameters {
        Ok(parameters) => find_operation(parameters, shared.edge.executor.documents()),
        Err(what) => {
            // Counts like a document that cannot be parsed.
            let verdict = shared.count(&requester, &client, Cost::ONE);
            match verdict.admit(Ok(())) {
                Ok(()) => return Err(malformed(what)),
                Err(errors) => Err(errors),
            }
        }
    };
    drop(turn);
    if let Ok(operation) = &operation {
        counted.is(operation.kind());
    }
    let cost = operation.as_ref().map_or(Cost::ONE, |operation| Cost::of(operation.root_fields()));
    let mut verdict = shared.count(&requester, &client, cost);
    let budget = operation.as_ref().ok().map(|operation| operation.budget.clone());
    let response = match verdict.admit(operation) {
        Err(errors) => refused(errors, request_id),
        Ok(operation) if parts.method == Method::GET && operation.kind() != OperationType::Query => {
            return Err(not_by_get(operation.kind()));
        }
        Ok(operation) if operation.kind() == OperationType::Subscription => {
            let message = "Subscriptions require a WebSocket connection to this URL.";
            refused(request_error(ErrorCode::InvalidDocument, message), request_id)
        }
        Ok(operation) => shared.edge.execute(operation, Caller { requester, client }, request_id, permit).await,
    };
    let used = budget.map(|budget| budget.used()).unwrap_or_default();
    shared.charge_usage(&mut verdict, used);
    counted.seen(&response.errors);
    shared.edge.delay_if_throttled(&response).await;
    let _turn = shared.turn(usize::try_from(used.bytes).unwrap_or(usize::MAX)).await;
    Ok(finished(media, &response, &verdict))
}

fn finished(media: Media, response: &async_graphql::Response, verdict: &Verdict) -> Response {
    let mut answer = answer(media, response);
    verdict.write(answer.headers_mut());
    answer
}

fn not_by_get(kind: OperationType) -> Refusal {
    let message = match kind {
        OperationType::Subscription => "GET is for queries only. Subscriptions require a WebSocket connection.",
        _ => "GET is for queries only. Use POST for mutations.",
    };
    Refusal::method("POST", message)
}

fn malformed(malformed: Malformed) -> Refusal {
    let code = if [BATCH, TOO_MANY_VALUES].contains(&malformed) {
        ErrorCode::QueryTooComplex
    } else {
        ErrorCode::InvalidInput
    };
    Refusal::new(StatusCode::BAD_REQUEST, code, malformed.0)
}

/// The length of the body according to its header.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// Reads and discards a body, within the limits of size and time.
async fn discard(body: Body, limits: &Limits) {
    let most = limits.body.saturating_add(MAX_DISCARDED);
    let read = async {
        let (mut chunks, mut length) = (body.into_data_stream(), 0);
        while let Some(Ok(chunk)) = chunks.next().await {
            length += chunk.len();
            if length > most {
                break;
            }
        }
    };
    let _an_incomplete_body_is_refused_as_well = tokio::time::timeout(limits.body_timeout, read).await;
}

/// Reads the body within the limits of size and time. A body with too many values is malformed.
///
/// The rest of a body that is too large or malformed is read and discarded, up to a limit: a client that is still
/// sending would otherwise lose the response with the connection (RFC 9112, section 9.6).
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    input: Option<&Arc<Input>>,
    limits: &Limits,
) -> Result<(Result<Bytes, Malformed>, Option<Held>), Refusal> {
    let full = |_| {
        let message = "Too much data is being received. Try again later.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
    };
    let mut held = input.map(|input| input.hold(0)).transpose().map_err(full)?;
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, "The request body is too large.");
    let announced = announced(headers).unwrap_or_default();
    let most = limits.body.saturating_add(MAX_DISCARDED);
    // A client that sends `Expect` waits for a response before it sends the body.
    if announced > most || (announced > limits.body && headers.contains_key(header::EXPECT)) {
        return Err(too_large());
    }
    let (mut length, mut values) = (0, ValueCounter::default());
    let read = async {
        let (mut chunks, mut read) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let broken =
                |_| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, "The request body is incomplete.");
            let chunk = chunk.map_err(broken)?;
            length += chunk.len();
            if length > most {
                break;
            } else if announced.max(length) > limits.body || values.is_exceeded() {
                read = Vec::new();
            } else {
                values.add(&chunk);
                if let Some(held) = &mut held {
                    held.grow(chunk.len()).map_err(full)?;
                }
                read.extend_from_slice(&chunk);
            }
        }
        Ok(read)
    };
    let read = tokio::time::timeout(limits.body_timeout, read).await;
    if announced.max(length) > limits.body {
        return Err(too_large());
    }
    let too_slow =
        || Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::Timeout, "Timed out while receiving the request body.");
    let read = read.map_err(|_| too_slow())??;
    Ok((if values.is_exceeded() { Err(TOO_MANY_VALUES) } else { Ok(read.into()) }, held))
}
