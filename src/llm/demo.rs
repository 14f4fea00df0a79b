//! The demo provider: replies without a key or a network, for evaluation and tests. The same question gets the same
//! reply, streamed like that of a real model. The model's name determines its behaviour; see `docs/providers.md`.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{CompletionRequest, Event, EventStream, Provider, ProviderError, Speaker, Usage};
use crate::entity::enums::{FinishReason, ReplyErrorCode};

/// The demo provider.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demo;

#[async_trait]
impl Provider for Demo {
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError> {
        let steps = Script::new(request).steps()?;
        Ok(stream::unfold(steps, |mut steps| async move {
            let step = steps.pop_front()?;
            match step.wait {
                Wait::None => tokio::task::yield_now().await,
                Wait::For(time) => tokio::time::sleep(time).await,
                Wait::Forever => std::future::pending().await,
            }
            Some((step.event, steps))
        })
        .boxed())
    }
}

/// The next event, and the delay before it.
struct Step {
    wait: Wait,
    event: Result<Event, ProviderError>,
}

#[derive(Clone, Copy)]
enum Wait {
    None,
    For(Duration),
    Forever,
}

const PACE: Wait = Wait::For(Duration::from_millis(25));
const SLOW: Wait = Wait::For(Duration::from_millis(250));
/// The average length of a piece, in bytes.
const BYTES_PER_TOKEN: usize = 4;

/// A reply that is being generated.
struct Script<'a> {
    request: &'a CompletionRequest,
    /// The last user message, shortened to fit a quotation.
    question: String,
    steps: VecDeque<Step>,
    output_tokens: u32,
}

impl<'a> Script<'a> {
    fn new(request: &'a CompletionRequest) -> Self {
        let last = request.messages.iter().rev().find(|message| message.speaker == Speaker::User);
        let words = last.map_or("", |message| message.content.as_str()).split_whitespace();
        let mut question: String = words.collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = question.char_indices().nth(120) {
            question.truncate(end);
            question.push('…');
        }
        Self { request, question, steps: VecDeque::new(), output_tokens: 0 }
    }

    fn steps(mut self) -> Result<VecDeque<Step>, ProviderError> {
        let answer = self.answer();
        match self.request.model.as_str() {
            "demo" => self.say(&answer, PACE),
            "demo/slow" => self.say(&answer, SLOW),
            "demo/fast" => self.say(&repeated(&answer, 20_000), Wait::None),
            "demo/long" => self.say(&repeated(&answer, 500), PACE),
            "demo/unicode" => self.say(SCRIPTS, PACE),
            "demo/fails" => {
                return Err(ProviderError::new(ReplyErrorCode::ProviderUnavailable, "demo/fails always fails"));
            }
            "demo/breaks" => {
                self.say(&repeated(&answer, 20), PACE);
                self.push(PACE, Err(ProviderError::truncated("demo/breaks always fails during the reply")));
                return Ok(self.steps);
            }
            "demo/stalls" => {
                self.say(&repeated(&answer, 5), PACE);
                self.push(Wait::Forever, Ok(Event::Finished(FinishReason::Stop)));
                return Ok(self.steps);
            }
            "demo/reasoning" => {
                self.think(
                    "The question is short. A friendly answer that shows what came in will do, with an example.",
                );
                self.say(&answer, PACE);
            }
            "demo/tools" => {
                let id = "demo_call_1".to_owned();
                let arguments = json!({ "text": self.question });
                let words = self.question.split_whitespace().count();
                self.say("Let me count the words. ", PACE);
                let name = "count_words".to_owned();
                self.push(PACE, Ok(Event::ToolCall { id: id.clone(), name, arguments, reasoning_blocks: Vec::new() }));
                self.push(SLOW, Ok(Event::ToolResult { id, result: Ok(json!({ "words": words })) }));
                self.say(&format!("There are {words} of them.\n\n{answer}"), PACE);
            }
            unknown => {
                let detail = format!("the demo has no model {unknown:?}");
                return Err(ProviderError::new(ReplyErrorCode::ProviderRejected, &detail));
            }
        }
        Ok(self.finish())
    }

    fn answer(&self) -> String {
        let subject = match self.question.as_str() {
            "" => "You sent **no words**".to_owned(),
            question => format!("You wrote: “{question}”"),
        };
        let turns = self.request.messages.len();
        let system = if self.request.system.is_empty() { "no" } else { "a" };
        format!(
            "{subject}\n\nThis is the **demo model**. It knows nothing, but it streams like a real one:\n\n\
             - it has read {turns} message{s} of this chat, with {system} character behind it;\n\
             - its words arrive in small pieces, so you can *stop* it, leave, and come back;\n\
             - it costs nothing.\n\n```js\nconst next = \"set ANTHROPIC_API_KEY or OPENAI_API_KEY\";\n```\n\n\
             With a key, a real model answers here.",
            s = if turns == 1 { "" } else { "s" },
        )
    }

    fn push(&mut self, wait: Wait, event: Result<Event, ProviderError>) {
        self.steps.push_back(Step { wait, event });
    }

    fn think(&mut self, text: &str) {
        for piece in pieces(text) {
            self.output_tokens += 1;
            self.push(PACE, Ok(Event::Reasoning(piece.to_owned())));
        }
    }

    fn say(&mut self, text: &str, wait: Wait) {
        for piece in pieces(text) {
            self.output_tokens += 1;
            self.push(wait, Ok(Event::Text(piece.to_owned())));
        }
    }

    /// Ends the reply, earlier if the request limits its tokens.
    fn finish(mut self) -> VecDeque<Step> {
        let mut reason = FinishReason::Stop;
        if let Some(most) = self.request.max_output_tokens.filter(|most| *most < self.output_tokens) {
            self.steps.truncate(most as usize);
            (self.output_tokens, reason) = (most, FinishReason::Length);
        }
        let contents = self.request.messages.iter().map(|message| message.content.len());
        let read: usize = contents.chain(self.request.system.iter().map(String::len)).sum();
        let input = u32::try_from(read.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
        let usage = Usage { input_tokens: input, output_tokens: self.output_tokens, cached_input_tokens: 0 };
        self.push(Wait::None, Ok(Event::Usage(usage)));
        self.push(Wait::None, Ok(Event::Finished(reason)));
        self.steps
    }
}

/// Splits text into words, each with the following space.
fn pieces(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split_inclusive(char::is_whitespace)
}

/// The text, repeated to `count` pieces.
fn repeated(text: &str, count: usize) -> String {
    let paragraph = format!("{text}\n\n");
    pieces(&paragraph).cycle().take(count).collect()
}

/// Characters of one to four bytes, combining marks, emoji sequences, and both text directions.
const SCRIPTS: &str = "Grüße, naïve café 👋🏽 from Zürich. Привет, мир! 你好，世界。 こんにちは 世界 안녕하세요 세계 \
    שלום עולם مرحبا بالعالم नमस्ते दुनिया e\u{301}galite\u{301} 👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ∑∫√ 🦀";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models::DEMO_UPSTREAMS;
    use crate::llm::PromptMessage;

    fn request(model: &str) -> CompletionRequest {
        CompletionRequest {
            model: model.to_owned(),
            system: Vec::new(),
            messages: vec![PromptMessage { speaker: Speaker::User, content: "Why is the sky blue?".to_owned() }],
            max_output_tokens: None,
            temperature: None,
        }
    }

    fn script(model: &str) -> Vec<Result<Event, ProviderError>> {
        Script::new(&request(model)).steps().unwrap().into_iter().map(|step| step.event).collect()
    }

    fn text(events: &[Result<Event, ProviderError>]) -> String {
        let texts = events.iter().filter_map(|event| match event {
            Ok(Event::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[tokio::test]
    async fn streams_words_and_ends_with_usage() {
        let events: Vec<_> = Demo.stream(&request("demo")).await.unwrap().collect().await;
        assert!(text(&events).starts_with("You wrote: “Why is the sky blue?”\n\nThis is the **demo model**."));
        let [.., Ok(Event::Usage(usage)), Ok(Event::Finished(FinishReason::Stop))] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((usage.input_tokens, usage.output_tokens as usize), (5, events.len() - 2));
        assert!(events.len() > 40, "{} pieces", events.len());
    }

    #[test]
    fn replies_are_deterministic_and_have_no_empty_pieces() {
        for model in DEMO_UPSTREAMS.into_iter().filter(|model| *model != "demo/fails") {
            let events = script(model);
            assert_eq!(format!("{events:?}"), format!("{:?}", script(model)), "{model}");
            let is_empty = |event: &Result<Event, ProviderError>| matches!(event, Ok(Event::Text(text) | Event::Reasoning(text)) if text.is_empty());
            assert!(!events.iter().any(is_empty), "{model}");
        }
    }

    #[test]
    fn each_model_behaves_as_documented() {
        assert_eq!(script("demo/long").len(), 500 + 2);
        assert_eq!(script("demo/fast").len(), 20_000 + 2);
        assert_eq!(text(&script("demo/slow")), text(&script("demo")));
        assert!(
            matches!(script("demo/breaks").last(), Some(Err(error)) if error.code == ReplyErrorCode::ProviderTruncated)
        );
        assert!(matches!(script("demo/reasoning").first(), Some(Ok(Event::Reasoning(_)))));
        assert!(text(&script("demo/unicode")).contains("👩‍👩‍👧‍👦"));
        let tools = script("demo/tools");
        let call = tools.iter().position(|event| matches!(event, Ok(Event::ToolCall { .. }))).unwrap();
        let expected = Event::ToolResult { id: "demo_call_1".to_owned(), result: Ok(json!({ "words": 5 })) };
        assert_eq!(tools[call + 1].as_ref().unwrap(), &expected);

        let failed = |model: &str| Script::new(&request(model)).steps().err().map(|error| error.code);
        assert_eq!(failed("demo/fails"), Some(ReplyErrorCode::ProviderUnavailable));
        assert_eq!(failed("demo/none"), Some(ReplyErrorCode::ProviderRejected));
    }

    #[test]
    fn a_token_limit_ends_the_reply() {
        let limited = CompletionRequest { max_output_tokens: Some(3), ..request("demo") };
        let events: Vec<_> =
            Script::new(&limited).steps().unwrap().into_iter().map(|step| step.event.unwrap()).collect();
        assert_eq!(events.len(), 3 + 2);
        assert_eq!(events.last(), Some(&Event::Finished(FinishReason::Length)));
    }

    #[test]
    fn a_long_question_is_truncated() {
        let mut long = request("demo");
        long.messages[0].content = "é ".repeat(1000);
        let answer = Script::new(&long).answer();
        assert!(answer.starts_with("You wrote: “é é ") && answer.contains("…”"));
        assert!(answer.chars().count() < 800);
    }
}
