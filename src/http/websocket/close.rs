//! Closing sockets.

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use futures_util::StreamExt as _;

use crate::http::connections::Overflow;
use crate::http::websocket::transport::Transport;

/// Maximum length of a reason: a control frame has at most 125 bytes, of which the code takes two (RFC 6455, section
/// 5.5).
const MAX_REASON: usize = 123;
/// Maximum time of the closing handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// A close code and a human-readable reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

impl Close {
    pub(super) const NORMAL: Self = Self::new(1000, "Normal closure");
    pub(super) const TOO_BIG: Self = Self::new(1009, "The message is too big");
    pub(super) const TOO_SLOW: Self = Self::new(1008, "Timed out while receiving the message");
    pub(super) const RESTARTING: Self = Self::new(1012, "The service is restarting");
    /// Clients reconnect after 1013 (IANA registry), unlike after a code of the protocol's own range.
    pub(super) const TOO_MANY_SOCKETS: Self = Self::new(1013, "Too many sockets; try again later");
    pub(super) const TOO_MUCH_INPUT: Self = Self::new(1013, "Too much data is being received; try again later");
    pub(super) const BUSY: Self = Self::new(1013, "Authentication timed out; try again later");
    pub(super) const UNAUTHORIZED: Self = Self::new(4401, "Unauthorized");
    pub(super) const FORBIDDEN: Self = Self::new(4403, "Forbidden");
    pub(super) const TOKEN_EXPIRED: Self = Self::new(4403, "Forbidden: the access token has expired");
    pub(super) const SESSION_ENDED: Self = Self::new(4403, "Forbidden: the session has ended");
    pub(super) const SUBPROTOCOL: Self = Self::new(4406, "Subprotocol not acceptable");
    pub(super) const INIT_TIMEOUT: Self = Self::new(4408, "Connection initialisation timeout");
    pub(super) const TOO_MANY_INITS: Self = Self::new(4429, "Too many initialisation requests");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    pub(super) const fn malformed(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    pub(super) fn duplicate(id: &str) -> Self {
        const AROUND: usize = "Subscriber for  already exists".len();
        let id = &id[..id.floor_char_boundary(MAX_REASON - AROUND)];
        Self { code: 4409, reason: Cow::Owned(format!("Subscriber for {id} already exists")) }
    }
}

impl From<Overflow> for Close {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::TooLarge => Self::TOO_BIG,
            Overflow::TooSlow => Self::TOO_SLOW,
            Overflow::Full => Self::TOO_MUCH_INPUT,
        }
    }
}

/// Sends the pending output and the close frame, and waits shortly for the client's close frame. If a connection is
/// closed with unread input, the client may lose the last bytes sent to it, which are the close frame.
pub(super) async fn close(mut transport: Transport, close: Close) {
    let frame = CloseFrame { code: close.code, reason: close.reason.as_ref().into() };
    transport.push(Message::Close(Some(frame)));
    let handshake = async {
        if transport.send_all().await.is_ok() {
            drain(transport).await;
        }
    };
    // A client that exceeds it sees the connection end without a close code.
    let _elapsed = tokio::time::timeout(HANDSHAKE, handshake).await;
}

/// Answers the client's close frame.
pub(super) async fn answer(transport: Transport) {
    let _elapsed = tokio::time::timeout(HANDSHAKE, drain(transport)).await;
}

/// Reading drives the closing handshake; other input is ignored.
async fn drain(transport: Transport) {
    let mut socket = transport.into_socket();
    while let Some(Ok(_)) = socket.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reasons_fit_a_control_frame() {
        assert_eq!(Close::duplicate("a").reason, "Subscriber for a already exists");
        for id in ["x".repeat(256), "é".repeat(128), "🏃".repeat(64)] {
            let reason = Close::duplicate(&id).reason;
            assert!(reason.len() <= MAX_REASON && reason.len() > MAX_REASON - 4, "{reason}");
            assert!(reason.ends_with(" already exists"));
        }
        for close in [Close::TOKEN_EXPIRED, Close::BUSY, Close::SESSION_ENDED, Close::INIT_TIMEOUT] {
            assert!(close.reason.len() <= MAX_REASON);
        }
    }
}
