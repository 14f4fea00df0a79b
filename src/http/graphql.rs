//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>).

use std::sync::Arc;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use tracing::Span;

use crate::domain::{Client, Requester};
use crate::graphql::RequestId;
use crate::graphql::error::{ErrorCode, request_error};
use crate::http::answer::{Refusal, answer};
use crate::http::client_ip;
use crate::http::connections::{Held, Input};
use crate::http::edge::{Edge, Limits, Shared};
use crate::http::holder::Holder;
use crate::http::media::{self, Media};
use crate::http::operation::{Caller, Operation, refused};
use crate::http::parameters::{BATCH, Malformed, Parameters, TOO_MANY_VALUES};
use crate::http::rate_limit::Verdict;
use crate::http::{playground, websocket};

/// The longest `User-Agent` that is kept, in bytes.
const MAX_USER_AGENT: usize = 512;
/// So many bytes beyond the largest body are read of one that is too large.
const THROWN_AWAY: usize = 16 * 1024 * 1024;

/// Answers `/graphql`: GET, POST, the upgrade to a WebSocket, and browsers that come to look.
pub(super) async fn handle<E: Executor>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let media = Media::negotiate(&parts.headers);
    let request_id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(|| shared.new_request_id());
    let outcome = if websocket::is_upgrade(&parts) {
        websocket::upgrade(shared, parts).await
    } else if shared.edge.playground && playground::is_wanted(&parts) {
        Ok(playground::page(&parts.headers))
    } else {
        run(&shared, &parts, body, media, request_id).await
    };
    outcome.unwrap_or_else(|refusal| refusal.into_response(media, request_id))
}

async fn run<E: Executor>(
    shared: &Shared<E>,
    parts: &Parts,
    body: Body,
    media: Media,
    request_id: RequestId,
) -> Result<Response, Refusal> {
    let (body, _held) = match parts.method {
        Method::GET => (Bytes::new(), None),
        Method::POST => {
            if !media::is_json(&parts.headers) {
                let message = "Send the request as application/json in UTF-8.";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::InvalidInput, message));
            }
            let input = parts.extensions.get::<Arc<Input>>();
            read_body(&parts.headers, body, input, &shared.edge.limits).await?
        }
        _ => return Err(Refusal::method("GET, POST", "GraphQL takes POST, and GET for queries.")),
    };
    let client = client(&shared.edge, parts);
    let requester = (shared.edge.authenticate)(authorization(&parts.headers)?, client.clone()).await;
    if let Requester::Viewer(viewer) = &requester {
        Span::current().record("user", tracing::field::display(viewer.user_id));
    }
    let query = parts.uri.query().unwrap_or_default();
    let length = if parts.method == Method::GET { query.len() } else { body.len() };
    let turn = match shared.admit(Holder::of(&requester, &client), length).await {
        Ok(turn) => turn,
        Err((errors, verdict)) => {
            let response = refused(errors, request_id);
            shared.edge.hold_back(&response).await;
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
            // It counts like a document that cannot be read.
            let verdict = shared.count(&requester, &client, &Err::<Operation, _>(what));
            match verdict.admit(Ok(())) {
                Ok(()) => return Err(malformed(what)),
                Err(errors) => Err(errors),
            }
        }
    };
    let mut verdict = shared.count(&requester, &client, &operation);
    let budget = operation.as_ref().ok().map(|operation| operation.budget.clone());
    let response = match verdict.admit(operation) {
        Err(errors) => refused(errors, request_id),
        Ok(operation) if parts.method == Method::GET && operation.kind != OperationType::Query => {
            return Err(not_by_get(operation.kind));
        }
        Ok(operation) if operation.kind == OperationType::Subscription => {
            let message = "Subscriptions go over a WebSocket to this address.";
            refused(request_error(ErrorCode::InvalidDocument, message), request_id)
        }
        Ok(operation) => shared.edge.execute(operation, Caller { requester, client, request_id }, turn).await,
    };
    if let Some(budget) = budget {
        shared.settle(&mut verdict, budget.used());
    }
    shared.edge.hold_back(&response).await;
    Ok(finished(media, &response, &verdict))
}

fn finished(media: Media, response: &async_graphql::Response, verdict: &Verdict) -> Response {
    let mut answer = answer(media, response);
    verdict.write(answer.headers_mut());
    answer
}

fn not_by_get(kind: OperationType) -> Refusal {
    let message = match kind {
        OperationType::Subscription => "GET runs queries only; subscriptions go over a WebSocket.",
        _ => "GET runs queries only: send a mutation by POST.",
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

/// The body, within its bounds of size and time. The rest of one that is too large is read and thrown away, up to a bound: a
/// client that is still sending would lose the refusal with the connection (RFC 9112, section 9.6).
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    input: Option<&Arc<Input>>,
    limits: &Limits,
) -> Result<(Bytes, Option<Held>), Refusal> {
    let full = |_| {
        let message = "The server is receiving too much at once: try again.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
    };
    let mut held = input.map(|input| input.hold(0)).transpose().map_err(full)?;
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, "The request is too large.");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let announced = announced.unwrap_or_default();
    let most = limits.body.saturating_add(THROWN_AWAY);
    // Who expects to be told first sends nothing.
    if announced > most || (announced > limits.body && headers.contains_key(header::EXPECT)) {
        return Err(too_large());
    }
    let mut length = 0;
    let read = async {
        let (mut chunks, mut read) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, "The request broke off.");
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
        || Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::Timeout, "The request took too long to arrive.");
    Ok((read.map_err(|_| too_slow())??.into(), held))
}

/// Who is at the other end.
pub(super) fn client<E>(edge: &Edge<E>, parts: &Parts) -> Client {
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Client {
        ip: client_ip::client_ip(&edge.trusted_proxies, client_ip::peer(&parts.extensions), &parts.headers),
        // Readable header values are ASCII, so every byte is a boundary.
        user_agent: user_agent.map(|value| value[..value.len().min(MAX_USER_AGENT)].to_owned()),
    }
}

/// The value of the `Authorization` header; an empty one is none. One that is not readable is kept as something that cannot be
/// valid: credentials were sent.
///
/// # Errors
/// There are several: whoever looked at the request before may have believed another one.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else {
        let message = "Send at most one Authorization header.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, message));
    };
    let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    Ok(value.filter(|value| !value.is_empty()))
}
