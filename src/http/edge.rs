//! The parts of the HTTP server, and its counters.

use std::sync::Arc;

use async_graphql::ServerError;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator};
use crate::config::protection::Origins;
use crate::config::server::TrustedProxies;
use crate::domain::{Client, Requester};
use crate::entity::ids::ConnectionId;
use crate::graphql::RequestId;
use crate::graphql::budget::Usage;
use crate::graphql::error::{ErrorCode, request_error};
use crate::http::concurrency::{ConcurrencyLimiter, OperationPermit, Turn};
use crate::http::cost::Cost;
use crate::http::limits::Limits;
use crate::http::metrics::Scrape;
use crate::http::rate_limit::{RateLimiter, Verdict};
use crate::http::rate_limit_key::RateLimitKey;
use crate::http::slots::Slots;
use crate::metrics::Metrics;
use crate::traces::Traces;

/// Authenticates a request by the value of its `Authorization` header. Called for every HTTP request, every
/// `connection_init`, and every operation on a socket, so it must be cheap for credentials that were checked recently.
pub type Authenticate = Arc<dyn Fn(Option<String>, Client) -> BoxFuture<'static, Requester> + Send + Sync>;

/// Whether the server is ready; called by `/health/ready`.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The parts that the HTTP server needs.
pub struct Edge<E> {
    /// Executes operations.
    pub executor: E,
    /// Authenticates requests.
    pub authenticate: Authenticate,
    /// Checks the dependencies for `/health/ready`.
    pub ready: Ready,
    /// Runs mutations and sockets, so that shutdown waits for them.
    pub tracker: TaskTracker,
    /// Cancelled when the graceful shutdown begins: sockets close with 1012, `/health/ready` and new requests get 503.
    pub draining: CancellationToken,
    /// Counts operations, sockets and subscriptions.
    pub metrics: Metrics,
    /// Starts the spans of requests and operations.
    pub traces: Traces,
    /// The settings of `/metrics`; none if it is off.
    pub scrape: Option<Scrape>,
    /// The limits.
    pub limits: Limits,
    /// Whether browsers get the playground.
    pub playground: bool,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// The allowed origins of web pages, in addition to the server's own host.
    pub origins: Origins,
    /// Whether connections use TLS to the server itself.
    pub is_tls: bool,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Generates the request ids.
    pub ids: Arc<IdGenerator>,
}

/// Requests up to this size are parsed before the rate limit is checked, in bytes.
const MAX_UNCHECKED_LENGTH: usize = 128;

/// The state of the running HTTP server: its parts, and the counters of sockets and requests.
pub(super) struct Shared<E> {
    pub(super) edge: Edge<E>,
    pub(super) slots: Arc<Slots>,
    pub(super) subscriptions: Arc<Slots>,
    concurrency: Arc<ConcurrencyLimiter>,
    rate_limiter: RateLimiter,
}

impl<E> Shared<E> {
    pub(super) fn new(edge: Edge<E>) -> Arc<Self> {
        let rate_limiter = RateLimiter::new(edge.limits.fields_per_minute, edge.limits.chat_fields_per_minute);
        let (slots, subscriptions, concurrency) = (Arc::default(), Arc::default(), Arc::default());
        Arc::new(Self { edge, slots, subscriptions, concurrency, rate_limiter })
    }

    /// Waits for a concurrency permit, at most for the operation timeout.
    ///
    /// # Errors
    /// RATE_LIMITED if there is no permit in time, or if the key has used up its rate limit; a request of more than a
    /// few bytes (`length`) is then refused before it is parsed.
    pub(super) async fn admit(
        &self,
        key: RateLimitKey,
        length: usize,
    ) -> Result<OperationPermit, (Vec<ServerError>, Verdict)> {
        let permit = self.concurrency.acquire(key, self.edge.limits.operations_at_once);
        let Ok(permit) = tokio::time::timeout(self.edge.limits.operation_timeout, permit).await else {
            let error = request_error(ErrorCode::RateLimited, "Too many concurrent operations.");
            return Err((vec![error], Verdict::default()));
        };
        if length <= MAX_UNCHECKED_LENGTH {
            return Ok(permit);
        }
        self.peek(key).map(|()| permit)
    }

    /// Waits for a turn to read a request or to write a response of `length` bytes, at most for the operation timeout.
    /// None if it is short, or if there is no turn in time.
    pub(super) async fn turn(&self, length: usize) -> Option<Turn> {
        let turn = self.concurrency.turn(length);
        tokio::time::timeout(self.edge.limits.operation_timeout, turn).await.ok().flatten()
    }

    /// Checks the rate limit without counting.
    ///
    /// # Errors
    /// RATE_LIMITED if the key has used up its rate limit.
    pub(super) fn peek(&self, key: RateLimitKey) -> Result<(), (Vec<ServerError>, Verdict)> {
        let verdict = self.rate_limiter.peek(key);
        verdict.admit(Ok(())).map_err(|errors| (errors, verdict))
    }

    /// Charges the usage of an operation beyond what was charged at its start.
    pub(super) fn charge_usage(&self, verdict: &mut Verdict, used: Usage) {
        self.rate_limiter.charge_usage(verdict, Cost::of_usage(used));
    }

    /// Charges an operation to the rate limit.
    pub(super) fn count(&self, requester: &Requester, client: &Client, cost: Cost) -> Verdict {
        self.rate_limiter.check(requester, client, cost)
    }

    pub(super) fn new_connection_id(&self) -> ConnectionId {
        ConnectionId(self.edge.ids.next(self.edge.clock.now()))
    }

    pub(super) fn new_request_id(&self) -> RequestId {
        RequestId(self.edge.ids.next(self.edge.clock.now()))
    }
}
