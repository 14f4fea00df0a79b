//! The legacy `graphql-ws`: `PROTOCOL.md` of npm `subscriptions-transport-ws`.

use crate::http::websocket::messages::{
    ClientMessage, Envelope, Frame, Malformed, ServerMessage, result, result_of_data,
};

/// Sent after the acknowledgement and then periodically, because clients of this protocol expect it.
pub(super) fn keep_alive() -> String {
    Frame::bare("ka", None)
}

/// Sent before a refused connection is closed.
pub(super) fn connection_error(message: &str) -> String {
    let payload = Some(serde_json::json!({ "message": message }));
    Frame { kind: "connection_error", id: None, payload }.into_text()
}

pub(super) fn decode(message: Envelope<'_>) -> Result<ClientMessage, Malformed> {
    match message.kind.as_str() {
        "connection_init" => Ok(ClientMessage::Init { authorization: message.authorization()? }),
        "start" => {
            let parameters = message.parameters()?;
            Ok(ClientMessage::Subscribe { id: message.id()?, parameters })
        }
        "stop" => Ok(ClientMessage::Complete { id: message.id()? }),
        "connection_terminate" => Ok(ClientMessage::Terminate),
        _ => Err(Malformed("Invalid message: unknown type")),
    }
}

pub(super) fn encode(message: ServerMessage<'_>) -> String {
    match message {
        ServerMessage::Ack => Frame::bare("connection_ack", None),
        // This protocol has no client ping that requires a pong.
        ServerMessage::Pong { .. } => keep_alive(),
        ServerMessage::Next { id, response } => result("data", id, response),
        ServerMessage::Data { id, data } => result_of_data("data", id, data),
        ServerMessage::Error { id, errors } => {
            // This protocol sends one error, the newer one a list.
            Frame { kind: "error", id: Some(id), payload: errors.first() }.into_text()
        }
        ServerMessage::Complete { id } => Frame::bare("complete", Some(id)),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Response, ServerError, Value};

    use super::*;
    use crate::http::websocket::protocol::Protocol;

    #[test]
    fn reads() {
        let read = |text: &str| Protocol::Legacy.decode(text);
        let start = read(r#"{"type":"start","id":"1","payload":{"query":"{a}","variables":{}}}"#);
        assert!(matches!(start, Ok(ClientMessage::Subscribe { id, .. }) if id == "1"));
        assert!(matches!(read(r#"{"type":"stop","id":"1"}"#), Ok(ClientMessage::Complete { id }) if id == "1"));
        assert!(matches!(read(r#"{"type":"connection_terminate"}"#), Ok(ClientMessage::Terminate)));
        for kind in ["subscribe", "complete", "ping", "pong", "data", "ka"] {
            assert!(read(&format!(r#"{{"type":"{kind}","id":"1","payload":{{"query":"{{a}}"}}}}"#)).is_err(), "{kind}");
        }
    }

    #[test]
    fn writes() {
        let response = Response::new(Value::from(1));
        let data = encode(ServerMessage::Next { id: "1", response: &response });
        assert_eq!(data, r#"{"type":"data","id":"1","payload":{"data":1}}"#);
        let errors = [ServerError::new("no", None), ServerError::new("nor this", None)];
        let error = encode(ServerMessage::Error { id: "1", errors: &errors });
        assert_eq!(error, r#"{"type":"error","id":"1","payload":{"message":"no"}}"#);
        assert_eq!(keep_alive(), r#"{"type":"ka"}"#);
        assert_eq!(connection_error("no"), r#"{"type":"connection_error","payload":{"message":"no"}}"#);
    }
}
