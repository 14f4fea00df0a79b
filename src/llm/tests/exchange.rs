//! The results of every adapter and of the driver for the behaviour of a provider over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};

use super::dialects::{self, Dialect, TEXT};
use super::server::{Act, Server, accepted, head, refusal};
use super::{client, question};
use crate::config::models::{ModelSettings, ProviderKeys};
use crate::entity::enums::ReplyErrorCode;
use crate::llm::driver::{DriverEvent, Policy, stream};
use crate::llm::registry::{Model, Registry};
use crate::llm::{CompletionRequest, Event, ProviderError};
use crate::metrics::Metrics;
use crate::traces::Traces;

const PATIENCE: Duration = Duration::from_millis(300);

/// A policy with short waits before retries, and timeouts that are long enough for a busy machine.
fn eager() -> Policy {
    Policy {
        idle: Duration::from_secs(10),
        total: Duration::from_secs(20),
        retries: 2,
        backoff: Duration::from_millis(10),
        longest_wait: Duration::from_secs(2),
    }
}

/// A policy with a short timeout, for silent providers.
fn hasty() -> Policy {
    Policy { idle: PATIENCE, ..eager() }
}

/// Model `m` at `url`, with the fallback model `n` at `other` if given.
fn registry(kind: &str, url: &str, other: Option<&str>) -> Registry {
    let provider = |name: &str, url: &str| {
        format!("[[providers]]\nname = {name:?}\nkind = {kind:?}\nbase_url = {url:?}\napi_key_env = \"KEY\"\n")
    };
    let model = |id: &str, provider: &str, rest: &str| {
        format!(
            "[[models]]\nid = {id:?}\nprovider = {provider:?}\nupstream = \"up-{id}\"\ncontext_window = 100\n{rest}\n"
        )
    };
    let mut text = provider("p", url) + &model("m", "p", if other.is_some() { "fallback = [\"n\"]" } else { "" });
    if let Some(other) = other {
        text += &(provider("q", other) + &model("n", "q", ""));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let keys = ProviderKeys::default();
    let settings = ModelSettings::load(Some(file.path()), &keys, None, &|_| Some("k3y".to_owned())).unwrap();
    Registry::build(&settings, client()).unwrap()
}

/// The reply of model `m` or its fallback.
#[derive(Debug, Default)]
struct Reply {
    models: Vec<String>,
    text: String,
    is_finished: bool,
    error: Option<ProviderError>,
}

impl Reply {
    fn code(&self) -> Option<ReplyErrorCode> {
        self.error.as_ref().map(|error| error.code)
    }
}

/// Sends a request to model `m`. The timeout to the first event is the same as between events.
async fn ask(registry: &Registry, policy: Policy) -> Reply {
    let chain = registry.chain("m").into_iter();
    let chain = chain.map(|model| Arc::new(Model { first_event: policy.idle, ..Model::clone(&model) })).collect();
    read(Box::pin(stream(chain, |model| question(&model.upstream), policy, Metrics::default(), Traces::default())))
        .await
}

async fn read(mut events: impl Stream<Item = Result<DriverEvent, ProviderError>> + Unpin) -> Reply {
    let mut reply = Reply::default();
    while let Some(event) = events.next().await {
        assert!(reply.error.is_none() && !reply.is_finished, "{event:?} after the end");
        match event {
            Ok(DriverEvent::Attempt(model)) => reply.models.push(model.id.clone()),
            Ok(DriverEvent::Event(Event::Text(text))) => reply.text.push_str(&text),
            Ok(DriverEvent::Event(Event::Finished(_))) => reply.is_finished = true,
            Ok(DriverEvent::Event(_)) => {}
            Err(error) => reply.error = Some(error),
        }
    }
    assert_eq!(reply.is_finished, reply.error.is_none());
    reply
}

fn whole(dialect: &Dialect) -> Vec<Act> {
    vec![accepted(), Act::Write(dialect.whole())]
}

fn beginning(dialect: &Dialect) -> Act {
    Act::Write(format!("{}{}", dialect.opening, (dialect.text)("Hé")))
}

#[tokio::test]
async fn a_reply_arrives_completely_and_the_request_is_well_formed() {
    for dialect in dialects::all() {
        let server = Server::start(vec![whole(&dialect)]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
        assert_eq!(
            (reply.text.as_str(), &reply.models, reply.code()),
            (TEXT.concat().as_str(), &vec!["m".to_owned()], None)
        );

        let request = &server.requests()[0];
        let (path, key) = match dialect.kind {
            "anthropic" => ("/v1/messages", "\r\nx-api-key: k3y\r\n"),
            _ => ("/chat/completions", "\r\nauthorization: Bearer k3y\r\n"),
        };
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
        assert!(request.contains(key) && request.contains("\r\naccept: text/event-stream\r\n"), "{request}");
        assert!(request.contains("\"model\":\"up-m\"") && request.contains("\"stream\":true"), "{request}");
    }
}

#[tokio::test]
async fn a_request_is_retried_after_a_short_rate_limit() {
    for dialect in dialects::all() {
        let limited = refusal(429, "retry-after: 1\r\n", "{\"error\":{\"message\":\"slow down\"}}");
        let server = Server::start(vec![limited, whole(&dialect)]).await;
        let start = Instant::now();
        let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
        assert!(reply.is_finished && start.elapsed() >= Duration::from_secs(1), "{reply:?}");
        assert_eq!((server.requests().len(), reply.models.len()), (2, 1));
    }
}

#[tokio::test]
async fn a_request_is_not_retried_after_a_long_rate_limit() {
    for dialect in dialects::all() {
        let server = Server::start(vec![refusal(429, "retry-after: 600\r\n", "")]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
        assert_eq!(reply.code(), Some(ReplyErrorCode::ProviderRateLimited));
        assert_eq!(reply.error.unwrap().retry_after, Some(Duration::from_secs(600)));
        assert_eq!(server.requests().len(), 1);
    }
}

/// Each refusal with its code and the number of requests.
#[tokio::test]
async fn refusals_have_codes_and_only_some_are_retried() {
    use ReplyErrorCode::*;
    let too_long = r#"{"error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#;
    let cases = [
        (refusal(529, "", "{}"), ProviderOverloaded, 3),
        (refusal(500, "", "<html>"), ProviderUnavailable, 3),
        (refusal(503, "", ""), ProviderUnavailable, 3),
        (refusal(401, "", r#"{"error":{"message":"bad key k3y"}}"#), ProviderRejected, 1),
        (refusal(404, "", ""), ProviderRejected, 1),
        (refusal(302, "location: http://127.0.0.1:1/\r\n", ""), ProviderRejected, 1),
        (refusal(400, "", too_long), ContextTooLong, 1),
        (refusal(400, "", r#"{"error":{"code":"content_filter","message":"no"}}"#), ContentFiltered, 1),
        (refusal(200, "content-type: text/html\r\n", "<html>"), ProviderUnavailable, 3),
        (refusal(200, "content-type: application/json\r\n", r#"{"error":"overloaded"}"#), ProviderOverloaded, 3),
        (refusal(500, "", &"x".repeat(10_000_000)), ProviderUnavailable, 3),
        (vec![accepted()], ProviderTruncated, 3),
        (vec![], ProviderUnavailable, 3),
    ];
    for dialect in dialects::all() {
        for (answer, code, tries) in cases.clone() {
            let server = Server::start(vec![answer.clone(); 5]).await;
            let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
            assert_eq!((reply.code(), server.requests().len()), (Some(code), tries), "{}: {reply:?}", dialect.kind);
            let detail = reply.error.unwrap().detail;
            assert!(!detail.contains("k3y") && !detail.contains("127.0.0.1") && detail.len() <= 500, "{detail}");
        }
    }
}

#[tokio::test]
async fn an_error_event_before_the_first_word_is_retried() {
    for dialect in dialects::all() {
        let overloaded = vec![accepted(), Act::Write(format!("{}{}", dialect.opening, dialect.overloaded))];
        let server = Server::start(vec![overloaded, whole(&dialect)]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
        assert_eq!((reply.text, server.requests().len()), (TEXT.concat(), 2));
    }
}

#[tokio::test]
async fn an_unreachable_provider_is_unavailable() {
    for dialect in dialects::all() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let reply = ask(&registry(dialect.kind, &url, None), eager()).await;
        assert_eq!(reply.code(), Some(ReplyErrorCode::ProviderUnavailable));
    }
}

#[tokio::test]
async fn silence_times_out_before_and_after_the_first_word() {
    for dialect in dialects::all() {
        for (answer, text) in [
            (vec![Act::Stall], ""),
            (vec![accepted(), Act::Stall], ""),
            (vec![accepted(), beginning(&dialect), Act::Stall], "Hé"),
        ] {
            let server = Server::start(vec![answer; 3]).await;
            let start = Instant::now();
            let reply = ask(&registry(dialect.kind, &server.url, None), hasty()).await;
            assert_eq!((reply.code(), reply.text.as_str()), (Some(ReplyErrorCode::TimedOut), text));
            assert!(start.elapsed() >= PATIENCE);
            assert_eq!(server.requests().len(), 1);
        }
    }
}

/// The timeout to the first event does not depend on the timeout between events.
#[tokio::test]
async fn the_timeout_to_the_first_event_is_set_per_model() {
    for dialect in dialects::all() {
        let late = vec![accepted(), Act::Pause(2 * PATIENCE), Act::Write(dialect.whole())];
        let (first, second) = (Server::start(vec![late.clone()]).await, Server::start(vec![late]).await);
        let chain = registry(dialect.kind, &first.url, Some(&second.url)).chain("m").into_iter();
        let times = [PATIENCE, Duration::from_secs(10)].into_iter();
        let chain = chain.zip(times).map(|(model, time)| Arc::new(Model { first_event: time, ..Model::clone(&model) }));
        let events =
            stream(chain.collect(), |model| question(&model.upstream), eager(), Metrics::default(), Traces::default());
        let reply = read(Box::pin(events)).await;
        assert_eq!((reply.text, reply.models), (TEXT.concat(), vec!["m".to_owned(), "n".to_owned()]));
    }
}

/// The reply is complete with its finish reason, even if the connection stays open afterwards, with or without pings.
#[tokio::test]
async fn an_open_connection_after_the_finish_reason_does_not_delay_the_end() {
    for dialect in dialects::all().into_iter().filter(|dialect| dialect.after_finish > 0) {
        let whole = dialect.closing_without_usage.replace("data: [DONE]\n\n", "");
        let whole = Act::Write(format!("{}{}{whole}", dialect.opening, (dialect.text)("Hé")));
        for rest in [Act::Stall, Act::Repeat(dialect.noise[0].to_owned()), Act::Repeat(dialect.noise[1].to_owned())] {
            let mut server = Server::start(vec![vec![accepted(), whole.clone(), rest]]).await;
            let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
            assert_eq!((reply.code(), reply.text.as_str()), (None, "Hé"));
            let left = tokio::time::timeout(Duration::from_secs(2), server.left.recv()).await;
            assert_eq!(left, Ok(Some(())), "the connection is closed");
        }
    }
}

/// Pings are not events of the reply.
#[tokio::test]
async fn pings_do_not_reset_the_timeout() {
    for dialect in dialects::all() {
        let ping = Act::Repeat(dialect.noise[0].to_owned());
        let server = Server::start(vec![vec![accepted(), ping.clone()]]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), hasty()).await;
        assert_eq!(reply.code(), Some(ReplyErrorCode::TimedOut));

        let server = Server::start(vec![vec![accepted(), beginning(&dialect), ping]]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), hasty()).await;
        assert_eq!((reply.code(), reply.text.as_str()), (Some(ReplyErrorCode::TimedOut), "Hé"));
    }
}

/// Each word resets the timeout between events, but not the timeout of the whole reply.
#[tokio::test]
async fn the_duration_of_a_reply_is_limited() {
    for dialect in dialects::all() {
        let endless = vec![accepted(), beginning(&dialect), Act::Repeat((dialect.text)("a"))];
        let server = Server::start(vec![endless]).await;
        let policy = Policy { total: Duration::from_millis(900), ..eager() };
        let start = Instant::now();
        let reply = ask(&registry(dialect.kind, &server.url, None), policy).await;
        assert_eq!(reply.code(), Some(ReplyErrorCode::TimedOut));
        assert!(reply.text.len() > 20 && start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_fallback_model_is_used_if_the_first_one_fails() {
    for dialect in dialects::all() {
        let stalled = (vec![Act::Stall], hasty());
        let refused = [500, 401, 413].map(|status| (refusal(status, "", ""), eager()));
        for (answer, policy) in refused.into_iter().chain([stalled]) {
            let (first, second) = (Server::start(vec![answer; 3]).await, Server::start(vec![whole(&dialect)]).await);
            let reply = ask(&registry(dialect.kind, &first.url, Some(&second.url)), policy).await;
            assert_eq!((reply.text, reply.models), (TEXT.concat(), vec!["m".to_owned(), "n".to_owned()]));
            assert!(second.requests()[0].contains("\"model\":\"up-n\""), "the request is built for the second model");
        }
    }
}

#[tokio::test]
async fn a_filtered_request_is_not_sent_to_the_fallback_model() {
    for dialect in dialects::all() {
        let filtered = refusal(400, "", r#"{"error":{"code":"content_filter","message":"no"}}"#);
        let (first, second) = (Server::start(vec![filtered]).await, Server::start(vec![whole(&dialect)]).await);
        let reply = ask(&registry(dialect.kind, &first.url, Some(&second.url)), eager()).await;
        assert_eq!((reply.code(), second.requests().len()), (Some(ReplyErrorCode::ContentFiltered), 0));
    }
}

/// The first event can be text or reasoning.
#[tokio::test]
async fn nothing_is_retried_after_the_first_event() {
    for dialect in dialects::all() {
        let thought = Act::Write(format!("{}{}", dialect.opening, (dialect.reasoning)("Hm")));
        for begun in [beginning(&dialect), thought] {
            for (rest, code) in [
                (Act::Write(dialect.overloaded.to_owned()), ReplyErrorCode::ProviderOverloaded),
                (Act::Write(String::new()), ReplyErrorCode::ProviderTruncated),
            ] {
                let first = Server::start(vec![vec![accepted(), begun.clone(), rest]; 3]).await;
                let second = Server::start(vec![whole(&dialect)]).await;
                let reply = ask(&registry(dialect.kind, &first.url, Some(&second.url)), eager()).await;
                assert_eq!((reply.code(), reply.models.len()), (Some(code), 1));
                assert_eq!((first.requests().len(), second.requests().len()), (1, 0));
            }
        }
    }
}

/// The connection is lost within an HTTP chunk.
#[tokio::test]
async fn a_broken_connection_is_truncation() {
    for dialect in dialects::all() {
        let begun = format!("{}{}", dialect.opening, (dialect.text)("Hé"));
        let chunk = format!("{:x}\r\n{begun}\r\nffff\r\ndata: ", begun.len());
        let chunked = head(200, "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n");
        let server = Server::start(vec![vec![chunked, Act::Write(chunk)]]).await;
        let reply = ask(&registry(dialect.kind, &server.url, None), eager()).await;
        assert_eq!((reply.code(), reply.text.as_str()), (Some(ReplyErrorCode::ProviderTruncated), "Hé"));
    }
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_request() {
    for dialect in dialects::all() {
        for answer in [vec![accepted(), Act::Stall], vec![accepted(), beginning(&dialect), Act::Stall]] {
            let mut server = Server::start(vec![answer]).await;
            let registry = registry(dialect.kind, &server.url, None);
            let ask = |model: &Model| question(&model.upstream);
            let events =
                Box::pin(stream(registry.chain("m"), ask, Policy::default(), Metrics::default(), Traces::default()));
            let reading = tokio::time::timeout(Duration::from_millis(300), events.for_each(|_| async {}));
            assert!(reading.await.is_err(), "the stream waits for more events");
            let left = tokio::time::timeout(Duration::from_secs(2), server.left.recv()).await;
            assert_eq!(left, Ok(Some(())), "the provider sees the connection close");
        }
    }
}

/// Demo models run through the driver, like real models.
#[tokio::test]
async fn demo_models_fail_as_their_names_say() {
    use ReplyErrorCode::*;
    for (upstream, code, pieces) in [
        ("demo", None, 50..200),
        ("demo/fails", Some(ProviderUnavailable), 0..1),
        ("demo/breaks", Some(ProviderTruncated), 10..21),
        ("demo/stalls", Some(TimedOut), 3..6),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            format!("[[models]]\nid = \"m\"\nprovider = \"demo\"\nupstream = {upstream:?}\ncontext_window = 9\n");
        std::fs::write(file.path(), text).unwrap();
        let settings = ModelSettings::load(Some(file.path()), &ProviderKeys::default(), None, &|_| None).unwrap();
        let registry = Registry::build(&settings, client()).unwrap();
        let request = |model: &Model| CompletionRequest { max_output_tokens: None, ..question(&model.upstream) };
        let reply =
            read(Box::pin(stream(registry.chain("m"), request, hasty(), Metrics::default(), Traces::default()))).await;
        assert_eq!(reply.code(), code, "{upstream}");
        assert!(pieces.contains(&reply.text.split_whitespace().count()), "{upstream}: {}", reply.text);
    }
}
