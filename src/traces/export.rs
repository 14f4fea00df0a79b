//! Sends spans to a collector: OTLP over HTTP with Protocol Buffers
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! The batch processor of the SDK has a queue of bounded size and a thread of its own. Ending a span never blocks: it
//! is discarded if the queue is full.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;

use super::Traces;

/// Time limit of one request to the collector.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Time limit for sending the remaining spans at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// The maximum number of bytes that are read of a response.
const MAX_RESPONSE: usize = 64 * 1024;
/// The least time between two warnings.
const QUIET: Duration = Duration::from_secs(60);

/// Where and how spans are sent.
pub struct Collector {
    /// The URL for traces.
    pub url: String,
    /// Additional headers of each request, decoded.
    pub headers: Vec<(String, String)>,
    /// Sends the requests.
    pub client: reqwest::Client,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// The name of the service.
    pub service: String,
    /// The id of this run of the process.
    pub instance: String,
}

/// The export of this process. [`Export::finish`] must be called at its end.
pub struct Export(SdkTracerProvider);

impl Export {
    /// Starts the export. Requests are sent on the current Tokio runtime.
    ///
    /// # Errors
    /// The URL is not valid; one line.
    pub fn start(collector: Collector) -> Result<(Self, Traces), String> {
        let Collector { url, headers, client, sampler, service, instance } = collector;
        let sender = Sender { client, headers, runtime: Handle::current(), failures: Mutex::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_timeout(REQUEST_LIMIT)
            .with_headers(HashMap::new())
            .build()
            .map_err(|cause| cause.to_string())?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(opentelemetry::KeyValue::new("service.instance.id", instance))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let traces = Traces(Some(provider.tracer("duologue")));
        Ok((Self(provider), traces))
    }

    /// Sends the spans that ended. Spans that end later are discarded. Takes a few seconds at most.
    pub async fn finish(self) {
        let finished = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_LIMIT)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent in time");
        }
    }
}

/// Sends requests with the server's HTTP client, and warns of failures. The thread that calls it is not part of the
/// runtime, on which the client depends.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    headers: Vec<(String, String)>,
    runtime: Handle,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// Failed requests since the last warning.
    count: u64,
    warned: Option<Instant>,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let mut request = reqwest::RequestBuilder::from_parts(self.client.clone(), request).timeout(REQUEST_LIMIT);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let outcome = self.runtime.spawn(exchange(request)).await;
        let response = outcome.map_err(HttpError::from).and_then(|response| response.map_err(HttpError::from));
        match &response {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.warn(&format!("the collector responded with the status {}", response.status())),
            Err(cause) => self.warn(&chain(&**cause)),
        }
        response
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Response<Bytes>, reqwest::Error> {
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_RESPONSE {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    *answer.body_mut() = body.freeze();
    Ok(answer)
}

impl Sender {
    fn warn(&self, cause: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.count += 1;
        if failures.warned.is_some_and(|at| at.elapsed() < QUIET) {
            return;
        }
        tracing::warn!(cause, failed_requests = failures.count, "traces were not sent");
        *failures = Failures { count: 0, warned: Some(Instant::now()) };
    }
}

/// The messages of an error and of its causes, which reqwest does not include.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
