//! The messages of both subprotocols, and their common JSON structure.

use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::answer::Answer;
use crate::http::parameters::Parameters;

/// Maximum length of an operation id, in bytes.
const MAX_ID: usize = 256;

/// A message from the client.
#[derive(Debug)]
pub(super) enum ClientMessage {
    Init { authorization: Option<String> },
    Ping { payload: Option<Box<RawValue>> },
    Pong,
    Subscribe { id: String, parameters: Parameters },
    Complete { id: String },
    Terminate,
}

/// A message from the server.
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
    /// A response without errors: the JSON of its `data`.
    Data {
        id: &'a str,
        data: &'a str,
    },
    /// Ends the operation.
    Error {
        id: &'a str,
        errors: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// Why a message is invalid; used as the close reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The structure of all client messages.
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
            Some(id) if id.is_empty() => Err(Malformed("Invalid message: empty id")),
            Some(id) if id.len() > MAX_ID => Err(Malformed("Invalid message: id longer than 256 bytes")),
            Some(id) => Ok(id),
            None => Err(Malformed("Invalid message: missing id")),
        }
    }

    /// The payload, if it is a map; `None` if it is null or absent.
    pub(super) fn map(&self) -> Result<Option<&'a RawValue>, Malformed> {
        match self.payload {
            Some(payload) if !payload.get().starts_with('{') => {
                Err(Malformed("Invalid message: the payload must be a map"))
            }
            payload => Ok(payload),
        }
    }

    pub(super) fn parameters(&self) -> Result<Parameters, Malformed> {
        let payload = self.map()?.ok_or(Malformed("Invalid message: missing payload"))?;
        Parameters::from_json(payload.get().as_bytes()).map_err(|malformed| Malformed(malformed.0))
    }

    /// The credentials in the payload of `connection_init`; null and empty values count as absent.
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

/// The structure of all server messages.
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
        // Serialization only fails for maps with non-string keys, which GraphQL values do not have.
        serde_json::to_string(&self).unwrap_or_default()
    }
}

/// `next` of `graphql-transport-ws`, or `data` of the legacy protocol.
pub(super) fn result(kind: &'static str, id: &str, response: &Response) -> String {
    Frame { kind, id: Some(id), payload: Some(Answer::from(response)) }.into_text()
}

/// [`result`] for a response without errors, from the JSON of its `data`.
pub(super) fn result_of_data(kind: &'static str, id: &str, data: &str) -> String {
    /// The length of the rest of the frame.
    const AROUND: usize = r#"{"type":"next","id":,"payload":{"data":}}"#.len();
    // Strings always serialize.
    let id = serde_json::to_string(id).unwrap_or_default();
    let mut frame = String::with_capacity(AROUND + id.len() + data.len());
    for part in [r#"{"type":""#, kind, r#"","id":"#, &id, r#","payload":{"data":"#, data, "}}"] {
        frame.push_str(part);
    }
    frame
}
