//! The operations that run on one socket, scheduled round-robin.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError};
use futures_util::stream::{self, AbortHandle, Abortable, BoxStream, FuturesUnordered, StreamFuture};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tracing::{Span, field};

use crate::domain::{Client, Requester};
use crate::graphql::RequestId;
use crate::graphql::document::Operation;
use crate::graphql::error::{ErrorCode, is_request_error, request_error};
use crate::graphql::execution::{Caller, Execute, SubscriptionEvent};
use crate::http::concurrency::{OperationPermit, Turn};
use crate::http::connections::Held;
use crate::http::cost::Cost;
use crate::http::edge::Shared;
use crate::http::metrics::Counted;
use crate::http::operation::{find_operation, panicked, refused};
use crate::http::parameters::Parameters;
use crate::http::rate_limit_key::RateLimitKey;
use crate::http::request_log;
use crate::http::websocket::close::Close;
use crate::http::websocket::messages::ServerMessage;
use crate::http::websocket::protocol::Protocol;

/// The maximum number of frames in a batch. Between batches the socket is read and other tasks run, so this limits how
/// far an operation that is always ready gets ahead of others.
const BATCH_FRAMES: usize = 8;
/// The size from which a batch is complete, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// An event of an operation.
pub(super) enum Event {
    /// A response, with the turn to write it if it is long.
    Next(Box<Response>, Option<Turn>),
    /// A response without errors: the JSON of its `data`.
    Data(String),
    /// The last event: the operation was refused or panicked.
    Error(Vec<ServerError>),
    /// The credentials are no longer valid: the socket is closed.
    Close(Close),
}

/// Frames that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) frames: Vec<String>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, frame: String) {
        self.bytes += frame.len();
        self.frames.push(frame);
    }

    /// Whether the batch should be sent before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }
}

/// The running operations of one socket. Each ready operation emits one event before any emits a second:
/// [`FuturesUnordered`] wakes in order, and an operation that has emitted goes to the end.
///
/// Operations continue while the socket does not accept output, because only then they release their database
/// resources. An operation that has emitted an event waits until there is space in the output.
pub(super) struct Operations {
    protocol: Protocol,
    turns: FuturesUnordered<StreamFuture<RunningOperation>>,
    resting: Vec<RunningOperation>,
    active: HashMap<String, Active>,
    started: u64,
}

struct Active {
    /// Distinguishes an operation from an earlier one with the same id that has not ended yet.
    serial: u64,
    abort: AbortHandle,
}

impl Operations {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, turns: FuturesUnordered::new(), resting: Vec::new(), active: HashMap::new(), started: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.active.contains_key(id)
    }

    pub(super) fn start(
        &mut self,
        id: String,
        request_id: RequestId,
        client: IpAddr,
        events: BoxStream<'static, Event>,
    ) {
        let span = tracing::info_span!(
            "operation",
            duologue.request.id = %request_id,
            client.address = %client,
            graphql.operation.type = field::Empty,
            graphql.operation.name = field::Empty,
            user.id = field::Empty,
            error.type = field::Empty,
            trace_id = field::Empty,
        );
        let (abort, registration) = AbortHandle::new_pair();
        let events = Abortable::new(events, registration);
        self.started += 1;
        self.active.insert(id.clone(), Active { serial: self.started, abort });
        let running = RunningOperation { id, serial: self.started, events, span, start: Instant::now(), spoken: 0 };
        self.turns.push(running.into_future());
    }

    /// Ends an operation that the client has completed. It emits nothing more.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some(active) = self.active.remove(id) {
            active.abort.abort();
            self.resting.retain(|running| running.serial != active.serial);
        }
    }

    /// Waits for an event, then takes the ready events, up to a batch. Without space in the output, each operation
    /// emits at most one event.
    pub(super) fn poll_batch(&mut self, context: &mut Context<'_>, has_room: bool) -> Poll<Result<Batch, Close>> {
        if has_room {
            self.turns.extend(self.resting.drain(..).map(RunningOperation::into_future));
        }
        let mut batch = Batch::default();
        while !batch.is_full() {
            let Poll::Ready(Some((event, running))) = self.turns.poll_next_unpin(context) else { break };
            if self.active.get(&running.id).is_none_or(|active| active.serial != running.serial) {
                continue;
            }
            let id = running.id.as_str();
            match event {
                Some(Event::Next(response, _turn)) => {
                    batch.push(self.protocol.encode(ServerMessage::Next { id, response: &response }));
                    self.take_turn_again(running, has_room);
                }
                Some(Event::Data(data)) => {
                    batch.push(self.protocol.encode(ServerMessage::Data { id, data: &data }));
                    self.take_turn_again(running, has_room);
                }
                Some(Event::Error(errors)) => {
                    batch.push(self.protocol.encode(ServerMessage::Error { id, errors: &errors }));
                    self.active.remove(id);
                }
                Some(Event::Close(close)) => return Poll::Ready(Err(close)),
                None => {
                    batch.push(self.protocol.encode(ServerMessage::Complete { id }));
                    self.active.remove(id);
                }
            }
        }
        if batch.frames.is_empty() { Poll::Pending } else { Poll::Ready(Ok(batch)) }
    }

    fn take_turn_again(&mut self, running: RunningOperation, has_room: bool) {
        if has_room {
            self.turns.push(running.into_future());
        } else {
            self.resting.push(running);
        }
    }
}

/// A running operation. Its log line is written when it is dropped.
struct RunningOperation {
    id: String,
    serial: u64,
    events: Abortable<BoxStream<'static, Event>>,
    span: Span,
    start: Instant,
    spoken: u64,
}

impl Stream for RunningOperation {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let span = self.span.clone();
        let _entered = span.enter();
        let event = ready!(self.events.poll_next_unpin(context));
        self.spoken += u64::from(event.is_some());
        match &event {
            Some(Event::Next(response, _)) => request_log::record_error(&response.errors),
            Some(Event::Error(errors)) => request_log::record_error(errors),
            Some(Event::Data(_) | Event::Close(_)) | None => {}
        }
        Poll::Ready(event)
    }
}

impl Drop for RunningOperation {
    fn drop(&mut self) {
        tracing::info!(
            parent: &self.span,
            duologue.operation.events = self.spoken,
            duologue.operation.duration = request_log::seconds(self.start),
            "ended"
        );
    }
}

/// The events of one operation, including authentication. A panic ends it with an error.
pub(super) fn events<E: Execute>(
    shared: Arc<Shared<E>>,
    authorization: Option<String>,
    client: Client,
    request_id: RequestId,
    parameters: Parameters,
    held: Held,
) -> BoxStream<'static, Event> {
    // Boxed, so that a subscription does not keep the memory of its start.
    let events = stream::once(Box::pin(async move {
        let mut counted = Counted::new(&shared.edge.metrics, "websocket");
        // The credentials were valid when the socket opened, but may have been revoked since.
        let requester = (shared.edge.authenticate)(authorization, client.clone()).await;
        if matches!(requester, Requester::Dead) {
            return only(Event::Close(Close::FORBIDDEN));
        }
        request_log::record_user(&requester);
        let key = RateLimitKey::of(&requester, &client);
        let permit = match shared.admit(key, parameters.query.len()).await {
            Ok(permit) => permit,
            Err((errors, _)) => return refuse(&shared, errors, request_id, counted).await,
        };
        let turn = shared.turn(held.bytes()).await;
        let operation = find_operation(parameters, shared.edge.executor.documents());
        drop(turn);
        if let Ok(operation) = &operation {
            counted.is(operation.kind());
        }
        let cost = operation.as_ref().map_or(Cost::ONE, |operation| Cost::of(operation.root_fields()));
        let mut verdict = shared.count(&requester, &client, cost);
        let operation = match verdict.admit(operation) {
            Ok(operation) => operation,
            Err(errors) => return refuse(&shared, errors, request_id, counted).await,
        };
        let caller = Caller { requester, client };
        let budget = operation.budget.clone();
        if operation.kind() == OperationType::Subscription {
            let Some(slot) = shared.subscriptions.take(key, shared.edge.limits.subscriptions_per_user) else {
                let error = request_error(ErrorCode::RateLimited, "Too many subscriptions.");
                return refuse(&shared, vec![error], request_id, counted).await;
            };
            let mut is_first = true;
            let running = shared.edge.metrics.start_subscription();
            counted.seen(&[]);
            let responses = shared.edge.subscribe(operation, caller, request_id);
            let events = responses.map(move |response| {
                let _held = (&slot, &running);
                shared.charge_usage(&mut verdict, budget.used());
                let is_first = std::mem::take(&mut is_first);
                match response {
                    SubscriptionEvent::Data(data) => Event::Data(data),
                    SubscriptionEvent::Response(response) => {
                        counted.seen(&response.errors);
                        event(response, is_first)
                    }
                }
            });
            events.boxed()
        } else {
            let response = run(&shared, operation, caller, request_id, permit).await;
            let used = budget.used();
            shared.charge_usage(&mut verdict, used);
            counted.seen(&response.errors);
            shared.edge.delay_if_throttled(&response).await;
            if is_request_error(&response) {
                return only(Event::Error(response.errors));
            }
            let turn = shared.turn(usize::try_from(used.bytes).unwrap_or(usize::MAX)).await;
            only(Event::Next(response.into(), turn))
        }
    }));
    std::panic::AssertUnwindSafe(events.flatten())
        .catch_unwind()
        .map(move |event| event.unwrap_or_else(|_| Event::Error(panicked(request_id).errors)))
        .boxed()
}

/// Boxed, so that a subscription does not reserve the memory of a query.
fn run<'a, E: Execute>(
    shared: &'a Shared<E>,
    operation: Operation,
    caller: Caller,
    request_id: RequestId,
    permit: OperationPermit,
) -> Pin<Box<dyn Future<Output = Response> + Send + 'a>> {
    shared.edge.execute(operation, caller, request_id, permit).boxed()
}

async fn refuse<E: Execute>(
    shared: &Shared<E>,
    errors: Vec<ServerError>,
    request_id: RequestId,
    mut counted: Counted,
) -> BoxStream<'static, Event> {
    let response = refused(errors, request_id);
    counted.seen(&response.errors);
    shared.edge.delay_if_throttled(&response).await;
    only(Event::Error(response.errors))
}

fn only(event: Event) -> BoxStream<'static, Event> {
    stream::once(std::future::ready(event)).boxed()
}

/// The event for a response. A subscription without a source stream is a request error
/// (<https://spec.graphql.org/October2021/#CreateSourceEventStream()>): async-graphql returns it as a first response
/// without data, with errors at the root field. A response without a path is a panic.
fn event(response: Response, is_first: bool) -> Event {
    let at_root = is_first
        && response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.len() <= 1);
    if at_root || is_request_error(&response) {
        Event::Error(response.errors)
    } else {
        Event::Next(response.into(), None)
    }
}
