//! Writes the texts of a `reply` subscription without the executor.
//!
//! A reply has thousands of text events, and their types have only leaf fields. So the plan of the document is enough
//! to write them: it lists the response keys of each type in the order of the response, with fragments, aliases and
//! conditions resolved. The JSON is the same as that of the executor, byte for byte.
//!
//! The executor still starts the subscription: it checks the arguments and the viewer and reports errors. The resolver
//! hands over the events of the reply and ends. For each event with nested fields, such as ReplyFinished, the executor
//! runs again. Between events, a subscription holds no state of the executor.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_graphql::{Request, Response};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};

use crate::domain::Result;
use crate::domain::replies::ReplyEvent;
use crate::graphql::budget::Budget;
use crate::graphql::document::PreparedRequest;
use crate::graphql::execution::SubscriptionEvent;

const TEXT: &str = "ReplyText";
const REASONING: &str = "ReplyReasoning";
/// The fields that [`write`] knows.
const FIELDS: [&str; 4] = ["__typename", "start", "position", "text"];

/// The events of a reply.
pub(super) type Events = BoxStream<'static, Result<ReplyEvent>>;

/// What the resolver of a planned subscription and [`PlannedReply`] pass to each other, in the data of the request.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Passed>>);

#[derive(Default)]
enum Passed {
    #[default]
    Nothing,
    /// From the resolver: the events of the reply.
    Events(Events),
    /// To the resolver: the event to be resolved.
    Event(Result<ReplyEvent>),
}

impl Handover {
    /// The events that the resolver returns: all of the reply, the one event to be resolved, or none if the events are
    /// handed over.
    pub(super) async fn resolve(handover: Option<&Self>, read: impl Future<Output = Result<Events>>) -> Result<Events> {
        let Some(handover) = handover else { return read.await };
        if let Passed::Event(event) = handover.take() {
            return Ok(stream::iter([event]).boxed());
        }
        let events = read.await?;
        *handover.lock() = Passed::Events(events);
        Ok(stream::empty().boxed())
    }

    fn put_event(&self, event: Result<ReplyEvent>) {
        *self.lock() = Passed::Event(event);
    }

    fn take_events(&self) -> Option<Events> {
        match self.take() {
            Passed::Events(events) => Some(events),
            Passed::Nothing | Passed::Event(_) => None,
        }
    }

    fn take(&self) -> Passed {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a subscription is one to `reply` that can be planned.
pub fn can_plan(prepared: &PreparedRequest) -> bool {
    let is_known = |object| prepared.fields_of_root(object).all(|(_, name)| FIELDS.contains(&name));
    let is_reply = prepared.root_field().is_some_and(|(_, name)| name == "reply");
    is_reply && prepared.is_repeatable() && is_known(TEXT) && is_known(REASONING)
}

/// A `reply` subscription whose texts are written by its plan.
pub struct PlannedReply<F> {
    prepared: Arc<PreparedRequest>,
    /// Executes the subscription.
    execute: F,
    handover: Handover,
    /// The start, or the execution for one event.
    execution: Option<BoxStream<'static, Response>>,
    events: Option<Events>,
}

impl<F> PlannedReply<F>
where
    F: Fn(Request, Arc<PreparedRequest>) -> BoxStream<'static, Response>,
{
    /// Starts a subscription.
    pub fn start(request: Request, prepared: Arc<PreparedRequest>, execute: F) -> Self {
        let handover = Handover::default();
        let execution = Some(execute(request.data(handover.clone()), Arc::clone(&prepared)));
        Self { prepared, execute, handover, execution, events: None }
    }

    /// Writes an event that has only leaf fields. None for others.
    fn write(&self, event: &Result<ReplyEvent>) -> Option<String> {
        match event {
            Ok(ReplyEvent::Text { start, end, text }) => Some(write(&self.prepared, TEXT, [*start, *end], text)),
            Ok(ReplyEvent::Reasoning { start, end, text }) => {
                Some(write(&self.prepared, REASONING, [*start, *end], text))
            }
            _ => None,
        }
    }
}

impl<F> Stream for PlannedReply<F>
where
    F: Fn(Request, Arc<PreparedRequest>) -> BoxStream<'static, Response> + Unpin,
{
    type Item = SubscriptionEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        loop {
            if let Some(execution) = &mut self.execution {
                if let Some(response) = ready!(execution.poll_next_unpin(context)) {
                    return Poll::Ready(Some(SubscriptionEvent::Response(response)));
                }
                self.execution = None;
                let passed = self.handover.take_events();
                // A subscription that has exceeded its budget is over.
                self.events = passed.or(self.events.take()).filter(|_| !self.prepared.is_exhausted());
            }
            let Some(events) = &mut self.events else { return Poll::Ready(None) };
            let Some(event) = ready!(events.poll_next_unpin(context)) else {
                self.events = None;
                return Poll::Ready(None);
            };
            match self.write(&event) {
                Some(_) if self.prepared.is_exhausted() => {
                    self.events = None;
                    return Poll::Ready(Some(SubscriptionEvent::Response(self.prepared.exhausted())));
                }
                Some(data) => {
                    self.prepared.budget.renew();
                    return Poll::Ready(Some(SubscriptionEvent::Data(data)));
                }
                None => {
                    self.handover.put_event(event);
                    self.execution = Some(match self.prepared.repeat() {
                        Ok(request) => (self.execute)(request.data(self.handover.clone()), Arc::clone(&self.prepared)),
                        Err(errors) => stream::iter([Response::from_errors(errors)]).boxed(),
                    });
                }
            }
        }
    }
}

/// The JSON of `data` for an event of type `object`. Its texts are charged to the budget.
fn write(prepared: &PreparedRequest, object: &str, [start, position]: [i32; 2], text: &str) -> String {
    /// Room for the keys of a usual selection, and for numbers.
    const AROUND: usize = 96;
    let mut json = String::with_capacity(AROUND + text.len());
    json.push_str("{\"");
    json.push_str(prepared.root_field().map_or("reply", |(key, _)| key));
    json.push_str("\":{");
    for (index, (key, name)) in prepared.fields_of_root(object).enumerate() {
        json.push_str(if index == 0 { "\"" } else { ",\"" });
        json.push_str(key);
        json.push_str("\":");
        // Writing to a string cannot fail.
        let _ = match name {
            "__typename" => write!(json, "\"{object}\""),
            "start" => write!(json, "{start}"),
            "position" => write!(json, "{position}"),
            _ => json.write_str(&charged(&prepared.budget, text)),
        };
        if prepared.is_exhausted() {
            // The event is not sent. The executor charges the other texts too.
            json.clear();
        }
    }
    json.push_str("}}");
    json
}

/// A text as JSON. The budget counts its length in JSON, without the quotes.
fn charged(budget: &Budget, text: &str) -> String {
    const QUOTES: usize = 2;
    // Strings always serialize.
    let json = serde_json::to_string(text).unwrap_or_default();
    // The caller sees in the budget whether it is exceeded.
    let _exceeded = budget.bytes(json.len().saturating_sub(QUOTES));
    json
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use async_graphql::{EmptyMutation, Extensions, ID, Schema, Subscription, Variables, from_value, value};
    use futures_util::FutureExt as _;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Error;
    use crate::domain::replies::parts::{Call, ToolCall, ToolCallState};
    use crate::graphql::document::{ConformingExecutor, Documents, Limits};
    use crate::graphql::replies::ReplyEvent as Output;
    use crate::graphql::schema::Query;

    type Exact = ConformingExecutor<Schema<Query, EmptyMutation, Recorded>>;

    /// A `reply` with the events in the data of the request.
    struct Recorded;

    #[Subscription(name = "Subscription")]
    impl Recorded {
        async fn reply(
            &self,
            ctx: &async_graphql::Context<'_>,
            #[graphql(name = "messageId")] _message_id: ID,
        ) -> Result<BoxStream<'static, Result<Output>>> {
            let events: &Vec<Result<ReplyEvent>> = ctx.data_unchecked();
            let read = async { Ok(stream::iter(events.clone()).boxed()) };
            let events = Handover::resolve(ctx.data_opt(), read).await?;
            Ok(events.map(|event| event.map(Output::from)).boxed())
        }
    }

    /// Executors with the default limits, and with budgets that one event exceeds.
    static EXECUTORS: LazyLock<Vec<Exact>> = LazyLock::new(|| {
        let schema = Schema::build(Query::default(), EmptyMutation, Recorded).finish();
        let limits = [None, Some(300), Some(400), Some(600)].map(|answer_bytes| match answer_bytes {
            Some(answer_bytes) => Limits { answer_bytes, ..Limits::default() },
            None => Limits::default(),
        });
        let executor = |limits| ConformingExecutor::new(schema.clone(), Documents::new(&schema.sdl(), limits).unwrap());
        limits.map(executor).into()
    });

    /// All that a subscription sends: the JSON of the responses without errors, and the errors of the others. Then the
    /// usage of its budget.
    fn run(executor: &Exact, document: &str, events: &[Result<ReplyEvent>], is_planned: bool) -> Vec<String> {
        let variables: Variables = from_value(value!({ "id": "message", "yes": true, "no": false })).unwrap();
        let documents = executor.documents();
        let document = documents.find(document, &Extensions::default()).unwrap();
        let operation = documents.operation(document, None, variables).unwrap();
        let budget = Arc::clone(&operation.budget);
        let (request, prepared) = documents.prepare(operation).unwrap();
        assert!(can_plan(&prepared));
        let (executor, events) = (executor.clone(), events.to_vec());
        let execute = move |request: Request, prepared: Arc<PreparedRequest>| {
            let request = request.data(Arc::clone(&prepared.budget)).data(events.clone());
            executor.subscribe(request, prepared)
        };
        let sent = if is_planned {
            PlannedReply::start(request, prepared, execute).boxed()
        } else {
            execute(request, prepared).map(SubscriptionEvent::Response).boxed()
        };
        let shown = sent.map(|event| match event {
            SubscriptionEvent::Data(json) => json,
            SubscriptionEvent::Response(response) if response.errors.is_empty() => {
                serde_json::to_string(&response.data).unwrap()
            }
            SubscriptionEvent::Response(response) => format!("{response:?}"),
        });
        let mut shown: Vec<String> = shown.collect().now_or_never().expect("nothing waits");
        shown.push(format!("{:?}", budget.used()));
        shown
    }

    /// A document with the fragments and variables that its selection uses.
    fn document((root, selection): &(String, String)) -> String {
        let fragments = [
            ("...OnEvent", "fragment OnEvent on ReplyEvent { second_position: position ...OnText }"),
            ("...OnText", "fragment OnText on ReplyText { second_text: text start @skip(if: true) }"),
        ];
        let is_used = |name: &str| selection.contains(name) || name == "...OnText" && selection.contains("...OnEvent");
        let fragments: String = fragments.iter().filter(|(name, _)| is_used(name)).map(|(_, text)| *text).collect();
        let variables = ["$yes", "$no"].into_iter().filter(|name| selection.contains(name));
        let variables: String = variables.map(|name| format!(", {name}: Boolean!")).collect();
        format!("subscription($id: ID!{variables}) {{ {root}(messageId: $id) {{ {selection} }} }} {fragments}")
    }

    fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = String> {
        let condition = prop_oneof![
            4 => Just(""),
            1 => Just("@include(if: $yes)"),
            1 => Just("@skip(if: $yes)"),
            1 => Just("@skip(if: $no) @include(if: true)")
        ];
        // An alias has the same field everywhere, so that all fields merge.
        let alias = prop_oneof![2 => Just(""), 1 => Just("first_"), 1 => Just("second_")];
        let field = (alias, proptest::sample::select(names), condition).prop_map(|(alias, name, condition)| {
            if alias.is_empty() { format!("{name} {condition}") } else { format!("{alias}{name}: {name} {condition}") }
        });
        vec(field, 1..5).prop_map(|fields| fields.join(" "))
    }

    fn any_selection() -> impl Strategy<Value = String> {
        let shared = || any_fields(&["__typename", "start", "position"]);
        let own = || any_fields(&["__typename", "start", "position", "text"]);
        let item = prop_oneof![
            3 => shared(),
            3 => own().prop_map(|fields| format!("... on ReplyText {{ {fields} }}")),
            2 => own().prop_map(|fields| format!("... on ReplyReasoning @include(if: $yes) {{ {fields} }}")),
            1 => shared().prop_map(|fields| format!("... on ReplyEvent {{ {fields} ... {{ {fields} }} }}")),
            1 => Just("...OnText".to_owned()),
            1 => Just("...OnEvent @skip(if: $no)".to_owned()),
            1 => Just("... on ReplyToolCall { toolCall { id name } position }".to_owned()),
            1 => Just("... on ReplyFinished { message { id content } }".to_owned())
        ];
        vec(item, 1..6).prop_map(|items| items.join(" "))
    }

    fn any_event() -> impl Strategy<Value = Result<ReplyEvent>> {
        let text = || prop_oneof![any::<String>(), "[ -~\\n\\t\"\\\\é€😀\u{0}\u{7f}\u{2028}]{0,40}"];
        let id = crate::entity::ids::ToolCallId(uuid::Uuid::from_u128(7));
        let call = Call { id, name: "clock".to_owned(), arguments: Default::default(), started_at: Default::default() };
        let call = ToolCall { call, state: ToolCallState::Running };
        prop_oneof![
            6 => (any::<[i32; 2]>(), text()).prop_map(|([start, end], text)| Ok(ReplyEvent::Text { start, end, text })),
            3 => (any::<[i32; 2]>(), text()).prop_map(|([start, end], text)| Ok(ReplyEvent::Reasoning { start, end, text })),
            1 => Just(Ok(ReplyEvent::ToolCall { start: 1, end: 2, call })),
            1 => Just(Err(Error::NotFound))
        ]
    }

    proptest! {
        /// Also with a budget that one event exceeds.
        #[test]
        fn planned_events_equal_those_of_the_executor(
            selection in (prop_oneof![Just("reply".to_owned()), Just("r: reply".to_owned())], any_selection()),
            events in vec(any_event(), 0..8),
            executor in proptest::sample::select(vec![0, 0, 0, 1, 2, 3]),
        ) {
            let (document, executor) = (document(&selection), &EXECUTORS[executor]);
            let [planned, executed] = [true, false].map(|is_planned| run(executor, &document, &events, is_planned));
            prop_assert_eq!(planned, executed, "{}", document);
        }
    }
}
