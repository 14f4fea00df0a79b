//! GraphQL over WebSocket: `graphql-transport-ws`, and the legacy `graphql-ws` as a second encoding of the same
//! messages.

mod close;
mod connection;
mod legacy;
mod messages;
mod operations;
mod protocol;
mod transport;
mod transport_ws;

use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::Client;
use crate::graphql::error::ErrorCode;
use crate::graphql::execution::Execute;
use crate::http::answer::Refusal;
use crate::http::client::{authorization, client};
use crate::http::connections::Input;
use crate::http::edge::Shared;
use crate::http::origins;

use connection::Connection;
use protocol::Protocol;
use transport::Transport;

/// The default of 128 KiB per direction would be most of the memory of an idle socket.
const READ_BUFFER: usize = 2 * 1024;
/// Output beyond this size is sent before the batch is complete, in bytes.
const WRITE_BUFFER: usize = 16 * 1024;

/// Whether a request is a WebSocket upgrade (RFC 6455, section 4.1).
pub(super) fn is_upgrade(parts: &Parts) -> bool {
    let names = |headers: &HeaderMap| {
        let mut values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket")))
    };
    parts.method == Method::GET && names(&parts.headers)
}

/// Answers the handshake and runs the socket on the task tracker.
pub(super) async fn upgrade<E: Execute>(shared: Arc<Shared<E>>, mut parts: Parts) -> Result<Response, Refusal> {
    if !origins::may_connect(&shared.edge.origins, &parts.headers) {
        let message = "This origin is not allowed to open a WebSocket.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message));
    }
    let client = Client { connection: Some(shared.new_connection_id()), ..client(&shared.edge, &parts) };
    let authorization = authorization(&parts.headers)?;
    let limits = &shared.edge.limits;
    let mut upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|rejection| {
            let message = "Invalid WebSocket handshake (RFC 6455).";
            Refusal::new(rejection.into_response().status(), ErrorCode::InvalidInput, message)
        })?
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(limits.message)
        .max_frame_size(limits.message)
        .protocols(Protocol::ALL.map(Protocol::name));
    let protocol = upgrade.selected_protocol().and_then(Protocol::of);
    if protocol.is_none() {
        // If the response names none of the client's protocols, most clients fail before they see a close code.
        let any = upgrade.requested_protocols().next().cloned();
        if let Some(any) = any {
            upgrade.set_selected_protocol(any);
        }
    }
    let Some(input) = parts.extensions.get::<Arc<Input>>().cloned() else {
        let message = "This connection cannot be upgraded to a WebSocket.";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, message));
    };
    let tracker = shared.edge.tracker.clone();
    Ok(upgrade.on_upgrade(move |socket| {
        tracker.track_future(async move {
            match protocol {
                Some(protocol) => Connection::new(shared, socket, input, protocol, client, authorization).run().await,
                None => close::close(Transport::new(socket, input), close::Close::SUBPROTOCOL).await,
            }
        })
    }))
}
