//! The WebSocket subprotocols.

use axum::http::HeaderValue;

use crate::http::websocket::messages::{ClientMessage, Malformed, ServerMessage};
use crate::http::websocket::{legacy, transport_ws};

/// A WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `graphql-transport-ws`, of npm `graphql-ws`.
    TransportWs,
    /// `graphql-ws`, of npm `subscriptions-transport-ws`.
    Legacy,
}

impl Protocol {
    /// In order of preference.
    pub(super) const ALL: [Self; 2] = [Self::TransportWs, Self::Legacy];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TransportWs => "graphql-transport-ws",
            Self::Legacy => "graphql-ws",
        }
    }

    pub(super) fn of(name: &HeaderValue) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| name == protocol.name())
    }

    /// Decodes a text frame.
    pub(super) fn decode(self, text: &str) -> Result<ClientMessage, Malformed> {
        let envelope = serde_json::from_str(text).map_err(|_| Malformed("Invalid message"))?;
        match self {
            Self::TransportWs => transport_ws::decode(envelope),
            Self::Legacy => legacy::decode(envelope),
        }
    }

    /// Encodes a text frame.
    pub(super) fn encode(self, message: ServerMessage<'_>) -> String {
        match self {
            Self::TransportWs => transport_ws::encode(message),
            Self::Legacy => legacy::encode(message),
        }
    }
}
