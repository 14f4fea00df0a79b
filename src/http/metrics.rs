//! `/metrics` for Prometheus, and the counting of operations.
//!
//! Neither the rate limit nor CORS applies: the route is for the operator's scraper, not for web pages, which are
//! refused.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::ServerError;
use async_graphql::parser::types::OperationType;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use crate::config::Secret;
use crate::graphql::error::{ErrorCode, code_of};
use crate::http::edge::Shared;
use crate::metrics::{Metrics, Text, process};

/// The version of the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the values that are measured when they are requested.
pub type Measure = Arc<dyn Fn(&mut Text) + Send + Sync>;

/// The settings of `/metrics`.
#[derive(Clone)]
pub struct Scrape {
    /// The token that a scraper must send, if any.
    pub token: Option<Secret>,
    /// Measures the other layers.
    pub measure: Measure,
}

/// Returns all metrics.
pub(super) async fn scrape<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let Some(scrape) = &shared.edge.scrape else {
        return (StatusCode::NOT_FOUND, "Metrics are off.\n").into_response();
    };
    if is_from_another_page(headers) {
        return (StatusCode::FORBIDDEN, "Web pages cannot read metrics.\n").into_response();
    }
    if !is_authorized(scrape.token.as_ref(), headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "METRICS_TOKEN is required.\n").into_response();
    }
    let mut text = Text::default();
    text.gauge("duologue_build_info", "Version of this server.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    shared.edge.metrics.write(&mut text);
    (scrape.measure)(&mut text);
    process::write(&mut text);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text.finish()).into_response()
}

/// Whether a browser sent the request for a page of another origin
/// (<https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>). A browser sends no `Origin` when a user opens the
/// URL.
fn is_from_another_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != "none" && site != "same-origin")
}

fn is_authorized(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    sent.is_some_and(|(_, sent)| bool::from(sent.trim().as_bytes().ct_eq(token.expose().as_bytes())))
}

/// Counts an operation when it is dropped: its type, its duration, and the code of its first error.
pub(super) struct Counted {
    metrics: Metrics,
    transport: &'static str,
    kind: &'static str,
    outcome: &'static str,
    start: Instant,
}

impl Counted {
    /// Begins an operation. Until [`seen`](Self::seen), its outcome is that the client does not wait for it any more.
    pub(super) fn new(metrics: &Metrics, transport: &'static str) -> Self {
        let (kind, outcome) = ("unknown", "CANCELLED");
        Self { metrics: metrics.clone(), transport, kind, outcome, start: Instant::now() }
    }

    /// Records the type of the operation.
    pub(super) fn is(&mut self, kind: OperationType) {
        self.kind = match kind {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        };
    }

    /// Records the errors of a response. The first error is the outcome.
    pub(super) fn seen(&mut self, errors: &[ServerError]) {
        if let Some(code) = errors.first().and_then(code_of) {
            self.failed(code);
        } else if self.outcome == "CANCELLED" {
            self.outcome = "OK";
        }
    }

    /// Records an error.
    pub(super) fn failed(&mut self, code: ErrorCode) {
        if matches!(self.outcome, "CANCELLED" | "OK") {
            self.outcome = code.as_str();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.operation(self.transport, self.kind, self.outcome);
        // A subscription lasts as long as its client wants.
        if matches!(self.kind, "query" | "mutation") {
            self.metrics.operation_took(self.kind, self.start.elapsed());
        }
    }
}
