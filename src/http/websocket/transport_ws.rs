//! `graphql-transport-ws`: `PROTOCOL.md` of npm `graphql-ws`.

use crate::http::websocket::messages::{
    ClientMessage, Envelope, Frame, Malformed, ServerMessage, result, result_of_data,
};

pub(super) fn decode(message: Envelope<'_>) -> Result<ClientMessage, Malformed> {
    match message.kind.as_str() {
        "connection_init" => Ok(ClientMessage::Init { authorization: message.authorization()? }),
        "ping" => Ok(ClientMessage::Ping { payload: message.map()?.map(ToOwned::to_owned) }),
        "pong" => message.map().map(|_| ClientMessage::Pong),
        "subscribe" => {
            let parameters = message.parameters()?;
            Ok(ClientMessage::Subscribe { id: message.id()?, parameters })
        }
        "complete" => Ok(ClientMessage::Complete { id: message.id()? }),
        _ => Err(Malformed("Invalid message: unknown type")),
    }
}

pub(super) fn encode(message: ServerMessage<'_>) -> String {
    match message {
        ServerMessage::Ack => Frame::bare("connection_ack", None),
        ServerMessage::Pong { payload } => Frame { kind: "pong", id: None, payload }.into_text(),
        ServerMessage::Next { id, response } => result("next", id, response),
        ServerMessage::Data { id, data } => result_of_data("next", id, data),
        ServerMessage::Error { id, errors } => Frame { kind: "error", id: Some(id), payload: Some(errors) }.into_text(),
        ServerMessage::Complete { id } => Frame::bare("complete", Some(id)),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Response, ServerError, Value};

    use super::*;
    use crate::http::websocket::protocol::Protocol;

    fn read(text: &str) -> Result<ClientMessage, Malformed> {
        Protocol::TransportWs.decode(text)
    }

    #[test]
    fn reads_credentials() {
        for (payload, wanted) in [
            (r#"{"Authorization":"Bearer a"}"#, Some("Bearer a")),
            (r#"{"authorization":"Bearer a","more":1}"#, Some("Bearer a")),
            (r#"{"authorization":""}"#, None),
            (r#"{"Authorization":null}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            let message = read(&format!(r#"{{"type":"connection_init","payload":{payload}}}"#)).unwrap();
            let ClientMessage::Init { authorization } = message else { panic!("{message:?}") };
            assert_eq!(authorization.as_deref(), wanted, "{payload}");
        }
        assert!(matches!(read(r#"{"type":"connection_init"}"#), Ok(ClientMessage::Init { authorization: None })));
    }

    #[test]
    fn refuses_invalid_messages() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"start","id":"1","payload":{"query":"{a}"}}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":{"Authorization":1}}"#,
            r#"{"type":"ping","payload":""}"#,
            r#"{"type":"pong","payload":0}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":1}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_have_a_maximum_length() {
        let subscribe = |length: usize| {
            let id = "x".repeat(length);
            read(&format!(r#"{{"type":"subscribe","id":"{id}","payload":{{"query":"{{a}}"}}}}"#))
        };
        assert!(subscribe(256).is_ok());
        assert!(subscribe(257).is_err());
    }

    #[test]
    fn writes() {
        assert_eq!(encode(ServerMessage::Ack), r#"{"type":"connection_ack"}"#);
        assert_eq!(encode(ServerMessage::Pong { payload: None }), r#"{"type":"pong"}"#);
        let response = Response::new(Value::from(1));
        let next = encode(ServerMessage::Next { id: "a\"", response: &response });
        assert_eq!(next, r#"{"type":"next","id":"a\"","payload":{"data":1}}"#);
        let errors = [ServerError::new("no", None)];
        let error = encode(ServerMessage::Error { id: "1", errors: &errors });
        assert_eq!(error, r#"{"type":"error","id":"1","payload":[{"message":"no"}]}"#);
        assert_eq!(encode(ServerMessage::Complete { id: "1" }), r#"{"type":"complete","id":"1"}"#);
    }
}
