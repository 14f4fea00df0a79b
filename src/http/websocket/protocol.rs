//! The words of both subprotocols, without their spelling.

use async_graphql::{Response, ServerError};
use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::answer::Answer;
use crate::http::parameters::Parameters;
use crate::http::websocket::{legacy, transport_ws};

/// The longest id of an operation, in bytes.
const MAX_ID: usize = 256;

/// A subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `graphql-transport-ws`, of npm `graphql-ws`.
    TransportWs,
    /// `graphql-ws`, of npm `subscriptions-transport-ws`.
    Legacy,
}

/// What a client says.
#[derive(Debug)]
pub(super) enum ClientMessage {
    Init { authorization: Option<String> },
    Ping { payload: Option<Box<RawValue>> },
    Pong,
    Subscribe { id: String, parameters: Parameters },
    Complete { id: String },
    Terminate,
}

/// What the server says.
#[derive(Debug)]
pub(super) enum ServerMessage<'a> {
    Ack,
    Pong {
        payload: Option<Box<RawValue>>,
    },
    Next {
        id: &'a str,
        response: &'a Response,
    },
    /// The operation ends with it.
    Error {
        id: &'a str,
        errors: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// A message that the protocol does not know; the sentence says why and goes into the close reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Protocol {
    /// The best first.
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

    /// Reads a text frame.
    pub(super) fn decode(self, text: &str) -> Result<ClientMessage, Malformed> {
        let envelope = serde_json::from_str(text).map_err(|_| Malformed("Invalid message"))?;
        match self {
            Self::TransportWs => transport_ws::decode(envelope),
            Self::Legacy => legacy::decode(envelope),
        }
    }

    /// Writes a text frame.
    pub(super) fn encode(self, message: ServerMessage<'_>) -> String {
        match self {
            Self::TransportWs => transport_ws::encode(message),
            Self::Legacy => legacy::encode(message),
        }
    }
}

/// What every message of a client looks like.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    pub(super) fn id(self) -> Result<String, Malformed> {
        match self.id {
            Some(id) if id.is_empty() => Err(Malformed("Invalid message: the id is empty")),
            Some(id) if id.len() > MAX_ID => Err(Malformed("Invalid message: the id is longer than 256 bytes")),
            Some(id) => Ok(id),
            None => Err(Malformed("Invalid message: it has no id")),
        }
    }

    /// The payload, which is a map, null or missing.
    pub(super) fn map(&self) -> Result<Option<&'a RawValue>, Malformed> {
        match self.payload {
            Some(payload) if !payload.get().starts_with('{') => {
                Err(Malformed("Invalid message: the payload is no map"))
            }
            payload => Ok(payload),
        }
    }

    pub(super) fn parameters(&self) -> Result<Parameters, Malformed> {
        let payload = self.map()?.ok_or(Malformed("Invalid message: it has no payload"))?;
        Parameters::from_json(payload.get().as_bytes()).map_err(|malformed| Malformed(malformed.0))
    }

    /// The credentials in the payload of `connection_init`; null and empty ones are none.
    pub(super) fn authorization(&self) -> Result<Option<String>, Malformed> {
        #[derive(Deserialize)]
        struct Init {
            #[serde(rename = "Authorization")]
            upper: Option<String>,
            #[serde(rename = "authorization")]
            lower: Option<String>,
        }
        let Some(payload) = self.map()? else { return Ok(None) };
        let init: Init = serde_json::from_str(payload.get())
            .map_err(|_| Malformed("Invalid message: `Authorization` must be a string"))?;
        let value = init.upper.or(init.lower).map(|value| value.trim().to_owned());
        Ok(value.filter(|value| !value.is_empty()))
    }
}

/// What every message of the server looks like.
#[derive(Serialize)]
pub(super) struct Frame<'a, P> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<P>,
}

impl Frame<'_, ()> {
    pub(super) fn bare(kind: &'static str, id: Option<&str>) -> String {
        Frame::<()> { kind, id, payload: None }.into_text()
    }
}

impl<P: Serialize> Frame<'_, P> {
    pub(super) fn into_text(self) -> String {
        // Only a map with keys other than strings fails to serialise, and a GraphQL value has none.
        serde_json::to_string(&self).unwrap_or_default()
    }
}

/// The `next` of one protocol and the `data` of the other.
pub(super) fn result(kind: &'static str, id: &str, response: &Response) -> String {
    Frame { kind, id: Some(id), payload: Some(Answer::from(response)) }.into_text()
}
