//! What the edge is made of.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator};
use crate::config::protection::Origins;
use crate::config::server::TrustedProxies;
use crate::domain::{Client, Requester};
use crate::graphql::RequestId;
use crate::graphql::budget::Usage;
use crate::graphql::document::Documents;
use crate::graphql::error::{ErrorCode, request_error};
use crate::http::cost::Cost;
use crate::http::holder::Holder;
use crate::http::operation::Operation;
use crate::http::rate_limit::{RateLimiter, Verdict};
use crate::http::turns::{Turn, Turns};
use crate::http::websocket::Slots;

/// Turns the value of an `Authorization` header into who asks. Called for every HTTP request, for every `connection_init`,
/// and again for every operation on a socket, so it must be cheap for credentials that it has just seen.
pub type Authenticate = Arc<dyn Fn(Option<String>, Client) -> BoxFuture<'static, Requester> + Send + Sync>;

/// Whether the server can do its work now; asked by `/health/ready`.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The parts that the edge is given.
pub struct Edge<E> {
    /// Runs the operations.
    pub executor: E,
    /// Knows the documents that `executor` runs.
    pub documents: Documents,
    /// Knows who asks.
    pub authenticate: Authenticate,
    /// Knows whether the server is ready.
    pub ready: Ready,
    /// Mutations and sockets run on it, so that shutdown waits for them.
    pub tracker: TaskTracker,
    /// Cancelled at the soft stop: sockets close with 1012 and `/health/ready` says no.
    pub draining: CancellationToken,
    /// The bounds.
    pub limits: Limits,
    /// Whether browsers get the playground.
    pub playground: bool,
    /// The peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// The origins whose pages may call and open sockets, besides those of the server's own host.
    pub origins: Origins,
    /// Whether connections are TLS from end to end.
    pub is_tls: bool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Makes the request ids.
    pub ids: Arc<IdGenerator>,
}

/// The bounds of the edge. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body of a request.
    pub body: usize,
    /// The longest time in which a body arrives.
    pub body_timeout: Duration,
    /// The longest time that a client waits for a query or a mutation. A mutation goes on after it.
    pub operation_timeout: Duration,
    /// Root fields that one user, or the network of who is not signed in, may ask for in a minute; 0 for any number.
    pub fields_per_minute: u32,
    /// Of these, how many may set a model to work; 0 for any number.
    pub chat_fields_per_minute: u32,
    /// How long who asks too often waits for the refusal. A flood over however many connections is so slow that others do not
    /// notice it.
    pub refusal_delay: Duration,
    /// The largest message that a socket takes.
    pub message: usize,
    /// How long a socket may stay without `connection_init`, and how long its authentication may take.
    pub connection_init: Duration,
    /// How often a socket is pinged; one that answers nothing until the next ping is dead.
    pub keep_alive: Duration,
    /// The largest message of a socket whose user is not known (yet).
    pub anonymous_message: usize,
    /// How long a client may leave unread what is written to it.
    pub write_timeout: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address at once; an IPv6 address counts by its /64, and trusted proxies have no such limit.
    pub connections_per_address: usize,
    /// Bodies and messages that have arrived, or began to, and whose operation has not ended.
    pub input: usize,
    /// Of these, those of one address.
    pub input_per_address: usize,
    /// What waits for one socket to accept it. A socket beyond it is closed.
    pub output: usize,
    /// Queries and mutations of one user, or of the network of who is not signed in, that run at once; more wait.
    pub operations_at_once: usize,
    /// Subscriptions that one user holds at once on all sockets.
    pub subscriptions_per_user: usize,
    /// Operations that run at once on one socket.
    pub operations_per_socket: usize,
    /// Sockets that one user holds at once.
    pub sockets_per_user: usize,
    /// Sockets that one address holds at once; an IPv6 address counts by its /64.
    pub sockets_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            body_timeout: Duration::from_secs(15),
            operation_timeout: Duration::from_secs(30),
            fields_per_minute: 0,
            chat_fields_per_minute: 0,
            refusal_delay: Duration::from_secs(1),
            message: 1 << 20,
            connection_init: Duration::from_secs(10),
            keep_alive: Duration::from_secs(25),
            anonymous_message: 64 << 10,
            write_timeout: Duration::from_secs(15),
            connections: 20_000,
            connections_per_address: 2_000,
            input: 64 << 20,
            input_per_address: 16 << 20,
            output: 16 << 20,
            operations_at_once: 4,
            subscriptions_per_user: 2_000,
            operations_per_socket: 100,
            sockets_per_user: 1_000,
            sockets_per_address: 10_000,
        }
    }
}

/// A request of so many bytes is no work to read.
const SHORT: usize = 128;

/// The edge at work: its parts, and the counts of its sockets and requests.
pub(super) struct Shared<E> {
    pub(super) edge: Edge<E>,
    pub(super) slots: Arc<Slots>,
    pub(super) subscriptions: Arc<Slots>,
    turns: Arc<Turns>,
    rate_limiter: RateLimiter,
}

impl<E> Shared<E> {
    pub(super) fn new(edge: Edge<E>) -> Arc<Self> {
        let rate_limiter = RateLimiter::new(edge.limits.fields_per_minute, edge.limits.chat_fields_per_minute);
        let (slots, subscriptions, turns) = (Arc::default(), Arc::default(), Arc::default());
        Arc::new(Self { edge, slots, subscriptions, turns, rate_limiter })
    }

    /// Waits for an operation's turn, as long as an operation may take.
    ///
    /// # Errors
    /// The turn does not come in time, or the holder is over the rate limit: a request of `length` bytes that takes work to read is not read then.
    pub(super) async fn admit(&self, holder: Holder, length: usize) -> Result<Turn, (Vec<ServerError>, Verdict)> {
        let turn = self.turns.take(holder, self.edge.limits.operations_at_once);
        let Ok(turn) = tokio::time::timeout(self.edge.limits.operation_timeout, turn).await else {
            let error = request_error(ErrorCode::RateLimited, "Too many operations run at once.");
            return Err((vec![error], Verdict::default()));
        };
        if length <= SHORT {
            return Ok(turn);
        }
        let verdict = self.rate_limiter.look(holder);
        match verdict.admit(Ok(())) {
            Ok(()) => Ok(turn),
            Err(errors) => Err((errors, verdict)),
        }
    }

    /// Charges what an operation used beyond what it counted for at its beginning.
    pub(super) fn settle(&self, verdict: &mut Verdict, used: Usage) {
        self.rate_limiter.settle(verdict, Cost::of_usage(used));
    }

    /// Counts what a document asks for; one that cannot be read counts like one field.
    pub(super) fn count<F>(&self, requester: &Requester, client: &Client, operation: &Result<Operation, F>) -> Verdict {
        let cost = operation.as_ref().map_or(Cost::ONE, |operation| operation.cost);
        self.rate_limiter.check(requester, client, cost)
    }

    pub(super) fn new_request_id(&self) -> RequestId {
        RequestId(self.edge.ids.next(self.edge.clock.now()))
    }
}
