//! Reads and writes a WebSocket concurrently: a client that does not read its output does not stop the reading of its
//! input.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::ws::{Message, WebSocket};
use futures_util::{Sink as _, Stream as _};

use crate::http::connections::{Input, Overflow};

/// The connection failed, or the client does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// Progress on the socket.
pub(super) enum Progress {
    /// A message was received; `None` at the end of the stream.
    Received(Option<Result<Message, axum::Error>>),
    /// Reading has stopped.
    Refused(Overflow),
    /// All pending output was sent.
    Sent,
}

/// A socket and its pending output.
pub(super) struct Transport {
    socket: WebSocket,
    input: Arc<Input>,
    outbox: VecDeque<Message>,
    /// The size of the output that is not sent yet, in bytes.
    bytes: usize,
    is_flushed: bool,
}

impl Transport {
    pub(super) fn new(socket: WebSocket, input: Arc<Input>) -> Self {
        Self { socket, input, outbox: VecDeque::new(), bytes: 0, is_flushed: true }
    }

    /// The unconsumed input of the connection.
    pub(super) fn input(&self) -> &Arc<Input> {
        &self.input
    }

    /// Whether no output is pending.
    pub(super) fn is_idle(&self) -> bool {
        self.is_flushed
    }

    /// The size of the pending output, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes += match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Close(_) => 0,
        };
        self.is_flushed = false;
        self.outbox.push_back(message);
    }

    /// Sends what the socket accepts without waiting.
    ///
    /// # Errors
    /// [`Lost`]
    pub(super) async fn send(&mut self) -> Result<(), Lost> {
        poll_fn(|context| Poll::Ready(self.poll_send(context))).await
    }

    /// Sends all pending output.
    ///
    /// # Errors
    /// [`Lost`]
    pub(super) async fn send_all(&mut self) -> Result<(), Lost> {
        poll_fn(|context| match self.poll_send(context) {
            Ok(()) if !self.is_flushed => Poll::Pending,
            outcome => Poll::Ready(outcome),
        })
        .await
    }

    /// Sends, and receives if `receives`, until there is progress.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, receives: bool) -> Poll<Result<Progress, Lost>> {
        if !self.is_flushed {
            self.poll_send(context)?;
            if self.is_flushed {
                return Poll::Ready(Ok(Progress::Sent));
            }
        }
        if !receives {
            return Poll::Pending;
        }
        let message = Pin::new(&mut self.socket).poll_next(context);
        match self.input.refusal() {
            Some(overflow) => Poll::Ready(Ok(Progress::Refused(overflow))),
            None => message.map(|message| Ok(Progress::Received(message))),
        }
    }

    /// The socket, for the closing handshake.
    pub(super) fn into_socket(self) -> WebSocket {
        self.socket
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Result<(), Lost> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(Lost),
                Poll::Pending => return Ok(()),
            }
            if let Some(message) = self.outbox.pop_front() {
                Pin::new(&mut self.socket).start_send(message).map_err(|_| Lost)?;
            }
        }
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Ready(Ok(())) => (self.is_flushed, self.bytes) = (true, 0),
            Poll::Ready(Err(_)) => return Err(Lost),
            Poll::Pending => {}
        }
        Ok(())
    }
}
