use async_trait::async_trait;

use super::*;
use crate::entity::enums::FinishReason;
use crate::llm::Provider;
use crate::llm::tests::question;
use crate::metrics::Metrics;
use crate::traces::Traces;

/// A provider that returns the events of the next script for each request.
struct Scripted(std::sync::Mutex<VecDeque<Vec<Result<Event, ReplyErrorCode>>>>);

#[async_trait]
impl Provider for Scripted {
    async fn stream(&self, _: &CompletionRequest) -> Result<EventStream, ProviderError> {
        let script = self.0.lock().unwrap().pop_front().expect("one request more than there are answers");
        let events = script.into_iter().map(|event| event.map_err(|code| ProviderError::new(code, "as told")));
        Ok(stream::iter(events).boxed())
    }
}

fn model(id: &str, scripts: Vec<Vec<Result<Event, ReplyErrorCode>>>) -> Arc<Model> {
    Arc::new(Model {
        id: id.to_owned(),
        provider: "scripted".to_owned(),
        upstream: id.to_owned(),
        display_name: id.to_owned(),
        context_window: 1000,
        max_output_tokens: None,
        input_price: None,
        output_price: None,
        cached_input_price: None,
        first_event: Duration::from_secs(60),
        fallback: Vec::new(),
        is_available: true,
        is_demo: false,
        service: Arc::new(Scripted(std::sync::Mutex::new(scripts.into()))),
    })
}

/// All results of the driver, in short form.
async fn run(chain: Vec<Arc<Model>>) -> Vec<String> {
    let policy = Policy { backoff: Duration::from_millis(1), ..Policy::default() };
    let events = stream(chain, |model| question(&model.upstream), policy, Metrics::default(), Traces::default());
    let said = events.map(|event| match event {
        Ok(DriverEvent::Attempt(model)) => model.id.clone(),
        Ok(DriverEvent::Event(Event::Usage(usage))) => format!("usage {}", usage.input_tokens),
        Ok(DriverEvent::Event(event)) => format!("{event:?}"),
        Err(error) => format!("{:?}", error.code),
    });
    said.collect().await
}

fn usage(input_tokens: u32) -> Result<Event, ReplyErrorCode> {
    Ok(Event::Usage(Usage { input_tokens, ..Usage::default() }))
}

fn text() -> Result<Event, ReplyErrorCode> {
    Ok(Event::Text("a".to_owned()))
}

const END: Result<Event, ReplyErrorCode> = Ok(Event::Finished(FinishReason::Stop));
const BUSY: Result<Event, ReplyErrorCode> = Err(ReplyErrorCode::ProviderOverloaded);

#[tokio::test]
async fn usage_alone_does_not_start_a_reply() {
    let retried = model("m", vec![vec![usage(1), BUSY], vec![usage(2), text(), usage(3), END]]);
    assert_eq!(run(vec![retried]).await, ["m", "usage 2", "Text(\"a\")", "usage 3", "Finished(Stop)"]);
}

#[tokio::test]
async fn usage_of_the_last_failure_is_reported() {
    let refused = model("m", vec![vec![usage(1), Err(ReplyErrorCode::ContentFiltered)]]);
    assert_eq!(run(vec![refused, model("n", vec![])]).await, ["m", "usage 1", "ContentFiltered"]);
}

#[tokio::test]
async fn an_empty_reply_is_complete() {
    assert_eq!(run(vec![model("m", vec![vec![END]])]).await, ["m", "Finished(Stop)"]);
}

#[tokio::test]
async fn a_started_reply_is_not_retried() {
    let reasoning = Ok(Event::Reasoning("b".to_owned()));
    let call = Ok(Event::ToolCall {
        id: "1".to_owned(),
        name: "t".to_owned(),
        arguments: serde_json::Value::Null,
        reasoning_blocks: Vec::new(),
    });
    for begun in [text(), reasoning, call] {
        let chain = vec![model("m", vec![vec![begun.clone(), BUSY]]), model("n", vec![])];
        let said = run(chain).await;
        assert_eq!((said.len(), said[2].as_str()), (3, "ProviderOverloaded"), "{begun:?}");
    }
}

#[tokio::test]
async fn a_stream_without_an_end_event_is_truncated() {
    assert_eq!(run(vec![model("m", vec![vec![text()]])]).await, ["m", "Text(\"a\")", "ProviderTruncated"]);
    let chain = vec![model("m", vec![vec![], vec![], vec![]])];
    assert_eq!(run(chain).await, ["m", "ProviderTruncated"]);
}

#[tokio::test]
async fn the_failure_of_the_last_model_is_reported() {
    let chain = vec![
        model("m", vec![vec![BUSY], vec![BUSY], vec![BUSY]]),
        model("n", vec![vec![Err(ReplyErrorCode::ContextTooLong)]]),
    ];
    assert_eq!(run(chain).await, ["m", "n", "ContextTooLong"]);
    assert_eq!(run(vec![]).await, ["ProviderUnavailable"]);
}

#[test]
fn waits_grow_up_to_a_maximum() {
    let policy = Policy::default();
    let driver = Driver {
        chain: vec![].into_iter(),
        build: |_: &Model| question("m"),
        policy: Policy { retries: 20, ..policy },
        metrics: Metrics::default(),
        traces: Traces::default(),
        deadline: None,
        timer: None,
        stage: Stage::Over,
    };
    let busy = ProviderError::new(ReplyErrorCode::ProviderOverloaded, "");
    for (tries, least) in [(0, 500), (1, 1000), (2, 2000)] {
        let wait = driver.wait_before_retry(&busy, tries).unwrap();
        assert!(wait >= Duration::from_millis(least) && wait <= Duration::from_millis(least * 5 / 4), "{wait:?}");
    }
    assert_eq!(driver.wait_before_retry(&busy, 20), None);
    let after = |seconds| ProviderError { retry_after: Some(Duration::from_secs(seconds)), ..busy.clone() };
    assert!(driver.wait_before_retry(&after(15), 0).is_some());
    assert_eq!(driver.wait_before_retry(&after(16), 0), None);
    let late = ProviderError::new(ReplyErrorCode::TimedOut, "");
    assert_eq!(driver.wait_before_retry(&late, 0), None, "a second wait as long helps nobody");
}
