//! The forms of replies of single providers, written from the published formats. Each stream is read as a whole, byte
//! by byte, cut after each of its events, and without its end.

mod anthropic;
mod compatible;
mod odd;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::conformance::{Read, add, chunks, read_all};
use super::dialects::Chunks;
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::anthropic::Messages;
use crate::llm::interpreter::interpret;
use crate::llm::openai::ChatCompletion;
use crate::llm::{Event, EventStream, Usage};

/// One stream, with the expected result of each of its events.
struct Form {
    name: &'static str,
    read: fn(Chunks) -> EventStream,
    steps: Vec<Step>,
    /// The number of events after which the reply is complete; `usize::MAX` if only the end event completes it.
    whole_after: usize,
    end: Result<FinishReason, ReplyErrorCode>,
}

/// One event in the format of the provider, and the expected events of the adapter.
struct Step(String, Vec<Event>);

impl Form {
    /// A chat completion that ends with `end`.
    fn completion(name: &'static str, end: Result<FinishReason, ReplyErrorCode>) -> Self {
        let read = |chunks| interpret(chunks, ChatCompletion::default());
        Self { name, read, steps: Vec::new(), whole_after: usize::MAX, end }
    }

    /// An Anthropic message that ends with `end`.
    fn message(name: &'static str, end: Result<FinishReason, ReplyErrorCode>) -> Self {
        Self { read: |chunks| interpret(chunks, Messages::default()), ..Self::completion(name, end) }
    }

    /// An event with this data.
    fn data(mut self, data: &str, meaning: impl IntoIterator<Item = Event>) -> Self {
        self.steps.push(Step(format!("data: {data}\n\n"), meaning.into_iter().collect()));
        self
    }

    /// The event that completes the reply.
    fn last(self, data: &str, meaning: impl IntoIterator<Item = Event>) -> Self {
        let form = self.data(data, meaning);
        Self { whole_after: form.steps.len(), ..form }
    }

    fn done(self) -> Self {
        self.data("[DONE]", [])
    }

    fn comment(mut self, comment: &str) -> Self {
        self.steps.push(Step(format!(": {comment}\n\n"), Vec::new()));
        self
    }

    fn text(&self, events: usize) -> String {
        self.steps[..events].iter().map(|Step(text, _)| text.as_str()).collect()
    }

    /// The expected result for each number of events after which the stream ends.
    fn expected(&self, events: usize) -> Read {
        let mut expected = Vec::new();
        self.steps[..events]
            .iter()
            .flat_map(|Step(_, meaning)| meaning)
            .for_each(|event| add(&mut expected, event.clone()));
        let is_whole = events == self.steps.len() || events >= self.whole_after;
        match self.end {
            Ok(reason) if is_whole => {
                expected.push(Event::Finished(reason));
                Ok(expected)
            }
            Err(code) if is_whole => Err((expected, code)),
            _ => Err((expected, ReplyErrorCode::ProviderTruncated)),
        }
    }
}

fn all() -> Vec<Form> {
    [compatible::forms(), odd::forms(), anthropic::forms()].into_iter().flatten().collect()
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn reasoning(text: &str) -> Event {
    Event::Reasoning(text.to_owned())
}

fn usage(input_tokens: u32, output_tokens: u32, cached_input_tokens: u32) -> Event {
    Event::Usage(Usage { input_tokens, output_tokens, cached_input_tokens })
}

#[tokio::test]
async fn each_form_is_read_as_a_whole_and_byte_by_byte() {
    for form in all() {
        let stream = form.text(form.steps.len());
        for size in [usize::MAX, 1] {
            let read = read_all(form.name, (form.read)(chunks(&stream, size))).await;
            assert_eq!(read, form.expected(form.steps.len()), "{} in pieces of {size}", form.name);
        }
    }
}

#[tokio::test]
async fn each_form_is_read_up_to_each_cut() {
    for form in all() {
        for events in 0..form.steps.len() {
            let read = read_all(form.name, (form.read)(chunks(form.text(events), usize::MAX))).await;
            assert_eq!(read, form.expected(events), "{} cut after {events} events", form.name);
        }
    }
}

/// The connection stays open after the event that completes the reply.
#[tokio::test]
async fn silence_ends_a_complete_reply() {
    let forms: Vec<Form> = all().into_iter().filter(|form| form.whole_after <= form.steps.len()).collect();
    assert!(forms.len() > 10);
    join_all(forms.iter().map(|form| async {
        let open = chunks(form.text(form.whole_after), usize::MAX).chain(stream::pending()).boxed();
        let read = read_all(form.name, (form.read)(open)).await;
        assert_eq!(read, form.expected(form.whole_after), "{} with an open end", form.name);
    }))
    .await;
}
