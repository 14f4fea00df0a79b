//! The deadlines of a connection: for receiving the head of a request, and for the idle time between requests.
//!
//! hyper has one timeout for both, which does not run while hyper-util detects the HTTP version from the first bytes. A
//! proxy keeps its connections for about a minute and returns 502 if one is closed while it sends a request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response, StatusCode};
use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tower::Service;

/// Maximum time for a TLS handshake, and for receiving a request's head from its first byte.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections of `inner` and applies the deadlines to them.
#[derive(Debug, Clone)]
pub(super) struct Deadlines<A> {
    pub(super) inner: A,
    /// Maximum time to receive a request's head from its first byte; for the first request, from the start of the
    /// connection.
    pub(super) head: Duration,
    /// Maximum idle time between requests.
    pub(super) idle: Duration,
}

/// The phase of a connection, which determines its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Waiting for the first byte of the next request.
    Idle,
    /// Receiving a request's head.
    Head,
    /// Handling the request. The body has its own deadline.
    Answer,
    /// Upgraded to a WebSocket; no deadline.
    Upgraded,
}

/// The phase of one connection, shared by its stream and its service.
#[derive(Debug, Clone)]
struct Shared(Arc<AtomicU8>);

impl Shared {
    fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Answer,
            _ => Phase::Upgraded,
        }
    }

    fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}

impl<A, I, S> Accept<I, S> for Deadlines<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Timed<A::Stream>;
    type Service = Answering<A::Service>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (head, idle) = (self.head, self.idle);
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, inner) = accepted.await?;
            let phase = Shared(Arc::new(AtomicU8::new(Phase::Head as u8)));
            let deadline = Box::pin(tokio::time::sleep(head));
            let timed = Timed { stream, phase: phase.clone(), head, idle, deadline, armed: Some(Phase::Head) };
            Ok((timed, Answering { inner, phase }))
        })
    }
}

/// A stream whose reads end at the deadline.
pub(super) struct Timed<S> {
    stream: S,
    phase: Shared,
    head: Duration,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The phase of the current deadline.
    armed: Option<Phase>,
}

impl<S> Timed<S> {
    /// Checks the deadline while no input is available.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.phase.get();
        let limit = match phase {
            Phase::Idle => self.idle,
            Phase::Head => self.head,
            Phase::Answer | Phase::Upgraded => {
                self.armed = None;
                return Poll::Pending;
            }
        };
        if self.armed != Some(phase) {
            self.armed = Some(phase);
            self.deadline.as_mut().reset(Instant::now() + limit);
        }
        match (self.deadline.as_mut().poll(context), phase) {
            (Poll::Pending, _) => Poll::Pending,
            // Like an end of input from the client.
            (Poll::Ready(()), Phase::Idle) => Poll::Ready(Ok(())),
            (Poll::Ready(()), _) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_pending() {
            return self.poll_deadline(context);
        }
        if buffer.filled().len() > before && self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
        }
        outcome
    }
}

impl<S> Timed<S> {
    /// Restarts the deadline after output was written. hyper does not read again until input arrives, so this also
    /// registers the wake-up at the deadline.
    fn written(&mut self, outcome: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.armed = None;
            let _not_yet = self.poll_deadline(context);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The service of a connection, which records when a head is complete and when the response is ready.
#[derive(Clone)]
pub(super) struct Answering<S> {
    inner: S,
    phase: Shared,
}

impl<S, B, R> Service<Request<B>> for Answering<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.phase.set(Phase::Answer);
        let (answer, phase) = (self.inner.call(request), self.phase.clone());
        Box::pin(async move {
            let response = answer.await?;
            let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            phase.set(if is_upgrade { Phase::Upgraded } else { Phase::Idle });
            Ok(response)
        })
    }
}
