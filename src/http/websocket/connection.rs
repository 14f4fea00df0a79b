//! A socket, from its handshake to its close frame.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::domain::{Client, Requester, Viewer};
use crate::graphql::error::{ErrorCode, request_error};
use crate::graphql::execution::Execute;
use crate::http::connections::{Held, Input};
use crate::http::edge::Shared;
use crate::http::operation::refused;
use crate::http::parameters::Parameters;
use crate::http::rate_limit_key::RateLimitKey;
use crate::http::slots::Slot;
use crate::http::websocket::close::{self, Close};
use crate::http::websocket::legacy;
use crate::http::websocket::messages::{ClientMessage, ServerMessage};
use crate::http::websocket::operations::{Operations, events};
use crate::http::websocket::protocol::Protocol;
use crate::http::websocket::transport::{Lost, Progress, Transport};

/// Input is not read while more unsent output than this is pending, in bytes.
const READS_UNTIL: usize = 256 * 1024;

/// At most one future, which is polled when it wakes the task. By itself, it would be polled with every event of the
/// socket.
type WhenWoken<T> = FuturesUnordered<BoxFuture<'static, T>>;

/// Why the loop of a socket ends.
enum End {
    /// The server closes it.
    Close(Close),
    /// The client closed it.
    Closed,
    /// The connection failed or is too slow.
    Lost,
}

impl From<Lost> for End {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// The state of the connection protocol on the socket.
enum Phase {
    AwaitingInit,
    Authenticating { authorization: Option<String> },
    Ready { authorization: Option<String> },
}

/// A socket and its operations.
pub(super) struct Connection<E> {
    shared: Arc<Shared<E>>,
    transport: Transport,
    protocol: Protocol,
    client: Client,
    /// From the handshake; `connection_init` may replace it.
    authorization: Option<String>,
    phase: Phase,
    authenticating: WhenWoken<Option<Requester>>,
    /// Resolves when the socket must be closed: graceful shutdown, a deadline, or the end of the session.
    stop: WhenWoken<Close>,
    operations: Operations,
    /// Whether the user is authenticated, which allows larger messages.
    is_signed_in: bool,
    /// Whether nothing was received since the last ping.
    is_silent: bool,
    slots: Vec<Slot>,
}

impl<E: Execute> Connection<E> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        socket: WebSocket,
        input: Arc<Input>,
        protocol: Protocol,
        client: Client,
        authorization: Option<String>,
    ) -> Self {
        let init = tokio::time::sleep(shared.edge.limits.connection_init);
        Self {
            stop: stop(&shared, async move {
                init.await;
                Close::INIT_TIMEOUT
            }),
            shared,
            transport: Transport::new(socket, input),
            protocol,
            client,
            authorization,
            phase: Phase::AwaitingInit,
            authenticating: WhenWoken::new(),
            operations: Operations::new(protocol),
            is_signed_in: false,
            is_silent: false,
            slots: Vec::new(),
        }
    }

    /// Runs until either side closes the socket.
    pub(super) async fn run(mut self) {
        let end = self.serve().await;
        // Ends the operations before the closing handshake.
        self.operations = Operations::new(self.protocol);
        self.stop.clear();
        match end {
            End::Close(close) => {
                tracing::debug!(code = close.code, reason = %close.reason, "closing socket");
                close::close(self.transport, close).await;
            }
            End::Closed => close::answer(self.transport).await,
            End::Lost => tracing::debug!("socket connection lost"),
        }
    }

    async fn serve(&mut self) -> End {
        self.transport.input().limit_messages(self.largest_message());
        let holder = RateLimitKey::network(self.client.ip);
        if !self.take_slot(holder, self.shared.edge.limits.sockets_per_address) {
            return End::Close(Close::TOO_MANY_SOCKETS);
        }
        let _open = self.shared.edge.metrics.open_socket();
        let mut keep_alive = keep_alive(self.shared.edge.limits.keep_alive);
        loop {
            let receives = self.receives();
            let (transport, operations) = (&mut self.transport, &mut self.operations);
            let has_room = transport.is_idle();
            let mut is_busy = false;
            let step = tokio::select! {
                Some(close) = self.stop.next() => Err(End::Close(close)),
                progress = poll_fn(|context| transport.poll(context, receives)) => match progress {
                    Ok(Progress::Received(message)) => self.receive(message),
                    Ok(Progress::Refused(overflow)) => Err(End::Close(overflow.into())),
                    Ok(Progress::Sent) => Ok(()),
                    Err(lost) => Err(lost.into()),
                },
                Some(requester) = self.authenticating.next() => self.authenticated(requester),
                batch = poll_fn(|context| operations.poll_batch(context, has_room)) => match batch {
                    Ok(batch) => {
                        is_busy = batch.is_full();
                        batch.frames.into_iter().for_each(|frame| self.transport.push(text(frame)));
                        Ok(())
                    }
                    Err(close) => Err(End::Close(close)),
                },
                _ = keep_alive.tick() => self.keep_alive(),
            };
            if let Err(end) = step {
                return end;
            }
            if !self.transport.is_idle()
                && let Err(lost) = self.transport.send().await
            {
                return lost.into();
            }
            if self.transport.bytes() > self.shared.edge.limits.output {
                return End::Lost;
            }
            if is_busy {
                // A socket that is always ready would otherwise block the timers and tasks of this thread.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether input is read now.
    fn receives(&self) -> bool {
        // An operation that was sent directly after `connection_init`, as clients of the legacy protocol do, is handled
        // after the acknowledgement, however long authentication takes.
        let is_early = matches!(self.phase, Phase::Authenticating { .. });
        !is_early && self.transport.bytes() <= READS_UNTIL
    }

    fn receive(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.is_silent = false;
        match message {
            Some(Ok(Message::Text(text))) => {
                let held = self.transport.input().finish_message();
                if text.len() > self.largest_message() {
                    return Err(End::Close(Close::TOO_BIG));
                }
                match self.protocol.decode(&text) {
                    Ok(message) => self.handle(message, held),
                    Err(malformed) => Err(End::Close(Close::malformed(malformed.0))),
                }
            }
            Some(Ok(Message::Binary(_))) => {
                Err(End::Close(Close::malformed("Invalid message: binary frames are not supported")))
            }
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                self.transport.input().pass_control_frame(payload.len());
                Ok(())
            }
            Some(Ok(Message::Close(_))) => Err(End::Closed),
            // The library's error type is not exposed by axum; the size limit can only be recognized by its text.
            Some(Err(error)) if error.to_string().starts_with("Space limit exceeded") => {
                Err(End::Close(Close::TOO_BIG))
            }
            Some(Err(_)) | None => Err(End::Lost),
        }
    }

    /// The current maximum message size, in bytes.
    fn largest_message(&self) -> usize {
        let limits = &self.shared.edge.limits;
        if self.is_signed_in { limits.message } else { limits.message.min(limits.anonymous_message) }
    }

    fn handle(&mut self, message: ClientMessage, held: Held) -> Result<(), End> {
        match message {
            ClientMessage::Init { authorization } => {
                if !matches!(self.phase, Phase::AwaitingInit) {
                    return Err(End::Close(Close::TOO_MANY_INITS));
                }
                let authorization = authorization.or_else(|| self.authorization.take());
                let requester = (self.shared.edge.authenticate)(authorization.clone(), self.client.clone());
                let requester = tokio::time::timeout(self.shared.edge.limits.connection_init, requester);
                self.authenticating.push(async move { requester.await.ok() }.boxed());
                self.phase = Phase::Authenticating { authorization };
                self.stop = stop(&self.shared, pending());
            }
            ClientMessage::Ping { payload } => self.reply(ServerMessage::Pong { payload }),
            ClientMessage::Pong => {}
            ClientMessage::Subscribe { id, parameters } => self.subscribe(id, parameters, held)?,
            ClientMessage::Complete { id } => {
                if self.protocol == Protocol::Legacy && self.operations.contains(&id) {
                    self.reply(ServerMessage::Complete { id: &id });
                }
                self.operations.stop(&id);
            }
            ClientMessage::Terminate => return Err(End::Close(Close::NORMAL)),
        }
        Ok(())
    }

    fn authenticated(&mut self, requester: Option<Requester>) -> Result<(), End> {
        let requester = requester.ok_or(End::Close(Close::BUSY))?;
        let Phase::Authenticating { authorization } = &mut self.phase else { return Ok(()) };
        let authorization = authorization.take();
        match requester {
            Requester::Anonymous => {}
            Requester::Unknown => return Err(End::Close(Close::BUSY)),
            Requester::Dead => {
                if self.protocol == Protocol::Legacy {
                    self.transport.push(text(legacy::connection_error(&Close::FORBIDDEN.reason)));
                }
                return Err(End::Close(Close::FORBIDDEN));
            }
            Requester::Viewer(viewer) => {
                if !self.take_slot(RateLimitKey::User(viewer.user_id), self.shared.edge.limits.sockets_per_user) {
                    return Err(End::Close(Close::TOO_MANY_SOCKETS));
                }
                self.is_signed_in = true;
                self.transport.input().limit_messages(self.largest_message());
                let credentials = credentials_end(&viewer, self.shared.edge.clock.now());
                self.stop = stop(&self.shared, credentials);
            }
        }
        self.phase = Phase::Ready { authorization };
        self.reply(ServerMessage::Ack);
        if self.protocol == Protocol::Legacy {
            self.transport.push(text(legacy::keep_alive()));
        }
        Ok(())
    }

    fn subscribe(&mut self, id: String, parameters: Parameters, held: Held) -> Result<(), End> {
        let Phase::Ready { authorization } = &self.phase else { return Err(End::Close(Close::UNAUTHORIZED)) };
        if self.operations.contains(&id) {
            return Err(End::Close(Close::duplicate(&id)));
        }
        let request_id = self.shared.new_request_id();
        if self.operations.len() >= self.shared.edge.limits.operations_per_socket {
            let error = request_error(ErrorCode::RateLimited, "Too many operations on this socket.");
            let errors = &refused(error, request_id).errors;
            self.reply(ServerMessage::Error { id: &id, errors });
            return Ok(());
        }
        let events =
            events(self.shared.clone(), authorization.clone(), self.client.clone(), request_id, parameters, held);
        self.operations.start(id, request_id, self.client.ip, events);
        Ok(())
    }

    fn keep_alive(&mut self) -> Result<(), End> {
        if !self.transport.is_idle() {
            // Output is pending; the stream limits how long the client may leave it unread.
            return Ok(());
        }
        if self.is_silent {
            return Err(End::Lost);
        }
        self.is_silent = true;
        self.transport.push(Message::Ping(Vec::new().into()));
        if self.protocol == Protocol::Legacy && matches!(self.phase, Phase::Ready { .. }) {
            self.transport.push(text(legacy::keep_alive()));
        }
        Ok(())
    }

    fn reply(&mut self, message: ServerMessage<'_>) {
        self.transport.push(text(self.protocol.encode(message)));
    }

    fn take_slot(&mut self, holder: RateLimitKey, limit: usize) -> bool {
        let slot = self.shared.slots.take(holder, limit);
        let is_free = slot.is_some();
        self.slots.extend(slot);
        is_free
    }
}

fn text(frame: String) -> Message {
    Message::Text(frame.into())
}

/// Pings at a fixed interval, first after one period.
fn keep_alive(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Resolves at the graceful shutdown, or when `other` does.
fn stop<E>(shared: &Shared<E>, other: impl Future<Output = Close> + Send + 'static) -> WhenWoken<Close> {
    let draining = shared.edge.draining.clone();
    let stop = async move {
        tokio::select! {
            () = draining.cancelled() => Close::RESTARTING,
            close = other => close,
        }
    };
    WhenWoken::from_iter([stop.boxed()])
}

/// Resolves when the viewer's credentials end: at the expiry of the token, or when the session ends.
fn credentials_end(
    viewer: &Viewer,
    now: chrono::DateTime<chrono::Utc>,
) -> Pin<Box<dyn Future<Output = Close> + Send + 'static>> {
    let remaining = viewer.token_expires_at.map(|at| (at - now).to_std().unwrap_or_default());
    let session_ended = viewer.session_ended.clone();
    Box::pin(async move {
        let expiry = async {
            match remaining {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = expiry => Close::TOKEN_EXPIRED,
            () = session_ended.cancelled() => Close::SESSION_ENDED,
        }
    })
}
