//! One socket, from its handshake to its close frame.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor;
use axum::extract::ws::{Message, WebSocket};
use futures_util::future::BoxFuture;

use crate::domain::{Client, Requester, Viewer};
use crate::graphql::error::{ErrorCode, request_error};
use crate::http::connections::{Held, Input};
use crate::http::edge::Shared;
use crate::http::holder::Holder;
use crate::http::operation::refused;
use crate::http::parameters::Parameters;
use crate::http::websocket::close::{self, Close};
use crate::http::websocket::legacy;
use crate::http::websocket::operations::{Operations, events};
use crate::http::websocket::protocol::{ClientMessage, Protocol, ServerMessage};
use crate::http::websocket::slots::Slot;
use crate::http::websocket::transport::{Lost, Progress, Transport};

/// A client is not read while more than this waits for it to read, in bytes.
const READS_UNTIL: usize = 256 * 1024;

/// Why a socket's loop ends.
enum End {
    /// The server closes it.
    Close(Close),
    /// The client closed it.
    Closed,
    /// The connection is dead, or too slow.
    Lost,
}

impl From<Lost> for End {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// How far the connection inside the socket is.
enum Phase {
    AwaitingInit,
    Authenticating { authorization: Option<String> },
    Ready { authorization: Option<String> },
}

/// A socket and what runs on it.
pub(super) struct Connection<E> {
    shared: Arc<Shared<E>>,
    transport: Transport,
    protocol: Protocol,
    client: Client,
    /// Of the handshake; `connection_init` may bring better ones.
    authorization: Option<String>,
    phase: Phase,
    authenticating: BoxFuture<'static, Option<Requester>>,
    /// Ends the socket from outside: the soft stop, a deadline, the end of the session.
    stop: BoxFuture<'static, Close>,
    operations: Operations,
    /// Larger messages are read from users that are known.
    is_signed_in: bool,
    /// A ping is out, and nothing has come since.
    is_silent: bool,
    slots: Vec<Slot>,
}

impl<E: Executor> Connection<E> {
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
            authenticating: Box::pin(pending()),
            operations: Operations::new(protocol),
            is_signed_in: false,
            is_silent: false,
            slots: Vec::new(),
        }
    }

    /// Lives until either side ends it.
    pub(super) async fn run(mut self) {
        let end = self.serve().await;
        // What runs ends now, not after the closing handshake.
        self.operations = Operations::new(self.protocol);
        self.stop = Box::pin(pending());
        match end {
            End::Close(close) => {
                tracing::debug!(code = close.code, reason = %close.reason, "closing a socket");
                close::close(self.transport, close).await;
            }
            End::Closed => close::answer(self.transport).await,
            End::Lost => tracing::debug!("lost a socket"),
        }
    }

    async fn serve(&mut self) -> End {
        self.transport.input().limit_messages(self.largest_message());
        let holder = Holder::network(self.client.ip);
        if !self.take_slot(holder, self.shared.edge.limits.sockets_per_address) {
            return End::Close(Close::TOO_MANY_SOCKETS);
        }
        let mut keep_alive = keep_alive(self.shared.edge.limits.keep_alive);
        loop {
            let receives = self.receives();
            let (transport, operations) = (&mut self.transport, &mut self.operations);
            let has_room = transport.is_idle();
            let mut is_busy = false;
            let step = tokio::select! {
                close = &mut self.stop => Err(End::Close(close)),
                progress = poll_fn(|context| transport.poll(context, receives)) => match progress {
                    Ok(Progress::Received(message)) => self.receive(message),
                    Ok(Progress::Refused(overflow)) => Err(End::Close(overflow.into())),
                    Ok(Progress::Sent) => Ok(()),
                    Err(lost) => Err(lost.into()),
                },
                requester = &mut self.authenticating => self.authenticated(requester),
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
                // Whoever is always ready would otherwise keep this thread's timers and tasks from their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether the client is read now.
    fn receives(&self) -> bool {
        // An operation that was sent right behind `connection_init`, as clients of the legacy protocol do, is always served after
        // the acknowledgement, however long authentication takes.
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
                Err(End::Close(Close::malformed("Invalid message: binary frames are not used")))
            }
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                self.transport.input().pass_control_frame(payload.len());
                Ok(())
            }
            Some(Ok(Message::Close(_))) => Err(End::Closed),
            // The library's error type is not part of axum's interface; its text is how the size limit shows.
            Some(Err(error)) if error.to_string().starts_with("Space limit exceeded") => {
                Err(End::Close(Close::TOO_BIG))
            }
            Some(Err(_)) | None => Err(End::Lost),
        }
    }

    /// The largest message that the client may send now, in bytes.
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
                self.authenticating = Box::pin(async move { requester.await.ok() });
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
        self.authenticating = Box::pin(pending());
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
                if !self.take_slot(Holder::User(viewer.user_id), self.shared.edge.limits.sockets_per_user) {
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
            let error = request_error(ErrorCode::RateLimited, "Too many operations run on this socket.");
            let errors = &refused(error, request_id).errors;
            self.reply(ServerMessage::Error { id: &id, errors });
            return Ok(());
        }
        let events =
            events(self.shared.clone(), authorization.clone(), self.client.clone(), request_id, parameters, held);
        self.operations.start(id, request_id, events);
        Ok(())
    }

    fn keep_alive(&mut self) -> Result<(), End> {
        if !self.transport.is_idle() {
            // The client has something to read; whether it does is watched by the stream.
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

    fn take_slot(&mut self, holder: Holder, limit: usize) -> bool {
        let slot = self.shared.slots.take(holder, limit);
        let is_free = slot.is_some();
        self.slots.extend(slot);
        is_free
    }
}

fn text(frame: String) -> Message {
    Message::Text(frame.into())
}

/// Pings at a steady pace, the first one after a whole period.
fn keep_alive(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// The soft stop, or something else that ends a socket.
fn stop<E>(shared: &Shared<E>, other: impl Future<Output = Close> + Send + 'static) -> BoxFuture<'static, Close> {
    let draining = shared.edge.draining.clone();
    Box::pin(async move {
        tokio::select! {
            () = draining.cancelled() => Close::RESTARTING,
            close = other => close,
        }
    })
}

/// When the viewer's credentials die: at the token's expiry, or at once when the session ends.
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
