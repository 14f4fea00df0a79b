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
use crate::graphql::subscriptions::Subscribe;
use crate::http::answer::{Refusal, answer};
use crate::http::client::{authorization, client};
use crate::http::connections::{Held, Input};
use crate::http::cost::Cost;
use crate::http::edge::Shared;
use crate::http::limits::Limits;
use crate::http::media::{self, Media};
use crate::http::metrics::Counted;
use crate::http::operation::{Caller, Operation, refused};
use crate::http::parameters::{BATCH, Malformed, Parameters, TOO_MANY_VALUES};
use crate::http::rate_limit::Verdict;
use crate::http::rate_limit_key::RateLimitKey;
use crate::http::{playground, request_log, websocket};

/// The maximum number of bytes that are read and discarded beyond the body limit.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

/// Handles `/graphql`: GET, POST, WebSocket upgrades, and the playground for browsers.
pub(super) async fn handle<E: Subscribe>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
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

async fn run<E: Subscribe>(
    shared: &Shared<E>,
    parts: &Parts,
    body: Body,
    media: Media,
    request_id: RequestId,
    counted: &mut Counted,
) -> Result<Response, Refusal> {
    let (body, _held) = match parts.method {
        Method::GET => (Bytes::new(), None),
        Method::POST => {
            if !media::is_json(&parts.headers) {
                let message = "The Content-Type must be application/json in UTF-8.";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::InvalidInput, message));
            }
            let input = parts.extensions.get::<Arc<Input>>();
            read_body(&parts.headers, body, input, &shared.edge.limits).await?
        }
        _ => return Err(Refusal::method("GET, POST", "Method not allowed. Use POST, or GET for queries.")),
    };
    let client = client(&shared.edge, parts);
    let requester = (shared.edge.authenticate)(authorization(&parts.headers)?, client.clone()).await;
    request_log::record_user(&requester);
    let query = parts.uri.query().unwrap_or_default();
    let length = if parts.method == Method::GET { query.len() } else { body.len() };
    let permit = match shared.admit(RateLimitKey::of(&requester, &client), length).await {
        Ok(permit) => permit,
        Err((errors, verdict)) => {
            let response = refused(errors, request_id);
            counted.seen(&response.errors);
            shared.edge.delay_if_throttled(&response).await;
            return Ok(finished(media, &response, &verdict));
        }
    };
    let parameters = match parts.method {
        Method::GET => Parameters::from_query_string(query),
        _ => Parameters::from_json(&body),
    };
    let operation = match parameters {
        Ok(parameters) => Operation::parse(parameters, &shared.edge.documents),
        Err(what) => {
            // Counts like a document that cannot be parsed.
            let verdict = shared.count(&requester, &client, Cost::ONE);
            match verdict.admit(Ok(())) {
                Ok(()) => return Err(malformed(what)),
                Err(errors) => Err(errors),
            }
        }
    };
    if let Ok(operation) = &operation {
        counted.is(operation.kind);
    }
    let cost = operation.as_ref().map_or(Cost::ONE, |operation| operation.cost);
    let mut verdict = shared.count(&requester, &client, cost);
    let budget = operation.as_ref().ok().map(|operation| operation.budget.clone());
    let response = match verdict.admit(operation) {
        Err(errors) => refused(errors, request_id),
        Ok(operation) if parts.method == Method::GET && operation.kind != OperationType::Query => {
            return Err(not_by_get(operation.kind));
        }
        Ok(operation) if operation.kind == OperationType::Subscription => {
            let message = "Subscriptions require a WebSocket connection to this URL.";
            refused(request_error(ErrorCode::InvalidDocument, message), request_id)
        }
        Ok(operation) => shared.edge.execute(operation, Caller { requester, client, request_id }, permit).await,
    };
    if let Some(budget) = budget {
        shared.charge_usage(&mut verdict, budget.used());
    }
    counted.seen(&response.errors);
    shared.edge.delay_if_throttled(&response).await;
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

/// Reads the body within the limits of size and time. The rest of a body that is too large is read and discarded, up to
/// a limit: a client that is still sending would otherwise lose the response with the connection (RFC 9112, section
/// 9.6).
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    input: Option<&Arc<Input>>,
    limits: &Limits,
) -> Result<(Bytes, Option<Held>), Refusal> {
    let full = |_| {
        let message = "The server is receiving too much data. Try again later.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
    };
    let mut held = input.map(|input| input.hold(0)).transpose().map_err(full)?;
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, "The request body is too large.");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let announced = announced.unwrap_or_default();
    let most = limits.body.saturating_add(MAX_DISCARDED);
    // A client that sends `Expect` waits for a response before it sends the body.
    if announced > most || (announced > limits.body && headers.contains_key(header::EXPECT)) {
        return Err(too_large());
    }
    let mut length = 0;
    let read = async {
        let (mut chunks, mut read) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let broken =
                |_| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, "The request body is incomplete.");
            let chunk = chunk.map_err(broken)?;
            length += chunk.len();
            if length > most {
                break;
            } else if announced.max(length) > limits.body {
                read = Vec::new();
            } else {
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
    Ok((read.map_err(|_| too_slow())??.into(), held))
}
