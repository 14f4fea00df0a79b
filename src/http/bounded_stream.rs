//! A connection's stream with limits: connections beyond the limit are refused, an incomplete message has a deadline,
//! and a client that does not read its output is disconnected.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tower::Layer as _;

use crate::http::connections::{Connections, Input, Overflow};

/// The minimum read speed of a client, in bytes per second.
const SLOWEST_READER: f64 = 4096.0;

/// Accepts connections of `inner` up to the connection limit. Requests have the [`Input`] of their connection in their
/// extensions.
#[derive(Debug, Clone)]
pub(super) struct Bounded<A> {
    pub(super) inner: A,
    pub(super) connections: Connections,
}

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = BoundedStream<A::Stream>;
    type Service = AddExtension<A::Service, Arc<Input>>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let opened = stream.peer_addr().map(|peer| self.connections.open(peer.ip()));
        let write_timeout = self.connections.write_timeout();
        let message_timeout = self.connections.message_timeout();
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let Some(input) = opened? else {
                tracing::debug!("too many connections");
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (stream, service) = accepted.await?;
            let service = Extension(input.clone()).layer(service);
            let stream = BoundedStream { stream, input, message_timeout, message: None, write_timeout, unread: None };
            Ok((stream, service))
        })
    }
}

/// A stream with the limits that the module documents.
pub(super) struct BoundedStream<S> {
    stream: S,
    input: Arc<Input>,
    message_timeout: Duration,
    /// The serial number and the deadline of the message that is being received.
    message: Option<(usize, Pin<Box<Sleep>>)>,
    write_timeout: Duration,
    /// The deadline by which the client must have read more, while output is pending.
    unread: Option<Pin<Box<Sleep>>>,
}

impl<S> BoundedStream<S> {
    /// Refuses a message that is not received in time.
    fn await_message(&mut self, context: &mut Context<'_>) {
        let Some(serial) = self.input.arriving() else {
            self.message = None;
            return;
        };
        if self.message.as_ref().is_none_or(|(awaited, _)| *awaited != serial) {
            self.message = Some((serial, Box::pin(tokio::time::sleep(self.message_timeout))));
        }
        if self.message.as_mut().is_some_and(|(_, deadline)| deadline.as_mut().poll(context).is_ready()) {
            self.input.refuse(Overflow::TooSlow);
        }
    }

    /// Extends the deadline for the reader by the bytes that were written.
    fn written(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                if let Some(deadline) = &mut self.unread {
                    let earned = Duration::from_secs_f64(bytes as f64 / SLOWEST_READER).min(self.write_timeout);
                    let latest = Instant::now() + self.write_timeout;
                    let next = (deadline.deadline() + earned).min(latest);
                    deadline.as_mut().reset(next);
                }
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => self.await_reader(context),
        }
    }

    fn await_reader<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timeout = self.write_timeout;
        let deadline = self.unread.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> BoundedStream<S> {
    /// Reads and discards the remaining input. If a connection is closed with unread input, the client may lose the
    /// last bytes sent to it, which contain the reason for the close.
    fn discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.input.refusal().is_some() {
            return self.discard(context);
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_pending() {
            self.await_message(context);
        } else {
            self.input.arrived(buffer.filled().len() - before);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        if outcome.is_pending() {
            return self.await_reader(context);
        }
        self.unread = None;
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        if outcome.is_pending() { self.await_reader(context) } else { outcome }
    }
}
