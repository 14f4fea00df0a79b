//! The results of every adapter for valid, cut and malformed streams of bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use proptest::prelude::*;

use super::dialects::{self, Chunks, Dialect, TEXT};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::sse::MAX_EVENT_BYTES;
use crate::llm::{Event, EventStream, ProviderError};

pub(super) type Read = Result<Vec<Event>, (Vec<Event>, ReplyErrorCode)>;

async fn read(dialect: &Dialect, chunks: Chunks) -> Read {
    read_all(dialect.kind, (dialect.read)(chunks)).await
}

/// Reads to the end. Returns the events with adjacent texts joined, and the code of a final error.
pub(super) async fn read_all(name: &str, mut stream: EventStream) -> Read {
    let mut events: Vec<Event> = Vec::new();
    let mut outcome = None;
    while let Some(event) = stream.next().await {
        assert!(outcome.is_none(), "{name}: something came after the end: {event:?}");
        match event {
            Ok(event) => {
                if matches!(event, Event::Finished(_)) {
                    outcome = Some(Ok(()));
                }
                add(&mut events, event);
            }
            Err(ProviderError { code, .. }) => outcome = Some(Err(code)),
        }
    }
    match outcome.expect("a stream ends with Finished or an error") {
        Ok(()) => Ok(events),
        Err(code) => Err((events, code)),
    }
}

pub(super) fn add(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Text(text)), Event::Text(more)) | (Some(Event::Reasoning(text)), Event::Reasoning(more)) => {
            assert!(!more.is_empty());
            text.push_str(&more);
        }
        (_, event) => events.push(event),
    }
}

pub(super) fn chunks(bytes: impl AsRef<[u8]>, size: usize) -> Chunks {
    let chunks: Vec<_> = bytes.as_ref().chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks).boxed()
}

async fn read_text(dialect: &Dialect, text: &str) -> Read {
    read(dialect, chunks(text, 64)).await
}

fn text_of(events: &[Event]) -> &str {
    let mut texts = events.iter().filter_map(|event| match event {
        Event::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let text = texts.next().unwrap_or("");
    assert_eq!(texts.next(), None, "texts are joined");
    text
}

#[tokio::test]
async fn chunks_of_every_size_give_the_same_events() {
    for dialect in dialects::all() {
        let whole = dialect.whole();
        for size in (1..80).chain([4096, usize::MAX]) {
            assert_eq!(read(&dialect, chunks(&whole, size)).await, Ok(dialect.meaning()), "{} {size}", dialect.kind);
        }
    }
}

proptest! {
    #[test]
    fn chunks_of_mixed_sizes_give_the_same_events(sizes in prop::collection::vec(1_usize..200, 1..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for dialect in dialects::all() {
            let whole = Bytes::from(dialect.whole());
            let (mut rest, mut pieces) = (whole, Vec::new());
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                pieces.push(Ok(rest.split_to((*size).min(rest.len()))));
            }
            prop_assert_eq!(runtime.block_on(read(&dialect, stream::iter(pieces).boxed())), Ok(dialect.meaning()));
        }
    }
}

/// Replaces each value of each event by values of other types.
#[test]
fn no_unexpected_value_panics() {
    let values = ["null", "3", "-1.5", "\"x\"", "[]", "[3]", "{}", "{\"type\": 3}", "1e400"];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for dialect in dialects::all() {
        let whole = format!("{}{}{}", dialect.whole(), dialect.overloaded, dialect.noise.concat());
        for event in whole.split("\n\n").filter_map(|event| event.split_once("data: ")).map(|(_, data)| data) {
            // A value is the text after a colon, up to the next comma or closing bracket.
            for (colon, _) in event.match_indices(':') {
                let rest = &event[colon + 1..];
                let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
                for value in values {
                    for tail in [&rest[end..], "}", "}}", "}}]}"] {
                        let bent = format!("data: {}{value}{tail}\n\n", &event[..=colon]);
                        let stream = format!("{bent}{bent}{}", dialect.whole());
                        // `read_text` asserts that the stream has exactly one end.
                        let _ = runtime.block_on(read_text(&dialect, &stream));
                    }
                }
            }
        }
    }
}

/// A stream that is cut inside an event is truncated, and the events before the cut are kept.
#[tokio::test]
async fn a_cut_before_the_reply_is_complete_is_truncation() {
    for dialect in dialects::all() {
        let whole = dialect.whole();
        let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
        let needed = events.len() - dialect.after_finish;
        let mut starts = vec![0];
        starts.extend(events.iter().scan(0, |end, event| {
            *end += event.len();
            Some(*end)
        }));
        for cut in 0..=whole.len() {
            let arrived = events.iter().zip(&starts).filter(|(event, start)| cut >= *start + event.trim_end().len());
            let arrived = arrived.count();
            let is_torn = cut > starts[arrived] + "data: ".len();
            match read(&dialect, chunks(&whole.as_bytes()[..cut], 50)).await {
                Ok(events) => {
                    assert!(arrived >= needed && !is_torn, "{}: a cut at {cut} passed for the end", dialect.kind);
                    let mut expected = dialect.meaning();
                    expected.retain(|event| {
                        arrived > needed || dialect.after_finish == 0 || !matches!(event, Event::Usage(_))
                    });
                    assert_eq!(events, expected);
                }
                Err((events, code)) => {
                    assert!(arrived < needed || is_torn, "{}: a cut at {cut} was not the end", dialect.kind);
                    assert_eq!(code, ReplyErrorCode::ProviderTruncated, "{} cut at {cut}", dialect.kind);
                    assert!(TEXT.concat().starts_with(text_of(&events)), "{} cut at {cut}: {events:?}", dialect.kind);
                }
            }
        }
    }
}

#[tokio::test]
async fn line_ends_and_a_byte_order_mark_are_ignored() {
    for dialect in dialects::all() {
        for line_end in ["\r\n", "\r"] {
            let whole = format!("\u{feff}{}", dialect.whole().replace('\n', line_end));
            for size in [1, 2, 3, 1000] {
                assert_eq!(read(&dialect, chunks(&whole, size)).await, Ok(dialect.meaning()), "{}", dialect.kind);
            }
        }
    }
}

#[tokio::test]
async fn pings_and_unknown_events_are_ignored() {
    for dialect in dialects::all() {
        let whole = dialect.whole();
        let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
        for noise in &dialect.noise {
            let noisy = format!("{noise}{}", events.join(noise));
            assert_eq!(read_text(&dialect, &noisy).await, Ok(dialect.meaning()), "{} {noise:?}", dialect.kind);
        }
    }
}

#[tokio::test]
async fn errors_are_read_at_the_start_and_in_the_middle() {
    for dialect in dialects::all() {
        let first = format!("{}{}", dialect.overloaded, dialect.whole());
        assert_eq!(read_text(&dialect, &first).await, Err((vec![], ReplyErrorCode::ProviderOverloaded)));

        let middle = format!("{}{}{}{}", dialect.opening, (dialect.text)("Hé"), dialect.overloaded, dialect.closing);
        let kept = vec![Event::Text("Hé".to_owned())];
        assert_eq!(read_text(&dialect, &middle).await, Err((kept, ReplyErrorCode::ProviderOverloaded)));
    }
}

#[tokio::test]
async fn an_end_without_the_end_event_is_truncation() {
    for dialect in dialects::all() {
        let unfinished = format!("{}{}", dialect.opening, (dialect.text)("Hé"));
        let kept = vec![Event::Text("Hé".to_owned())];
        let expected = Err((kept, ReplyErrorCode::ProviderTruncated));
        assert_eq!(read_text(&dialect, &unfinished).await, expected);
        assert_eq!(read_text(&dialect, "").await, Err((vec![], ReplyErrorCode::ProviderTruncated)));

        let failing = stream::iter([
            Ok(Bytes::from(unfinished)),
            Err(ProviderError::new(ReplyErrorCode::TimedOut, "silence")),
            Ok(Bytes::from(dialect.closing.clone())),
        ]);
        let kept = vec![Event::Text("Hé".to_owned())];
        assert_eq!(read(&dialect, failing.boxed()).await, Err((kept, ReplyErrorCode::TimedOut)));
    }
}

#[tokio::test]
async fn usage_may_be_missing() {
    for dialect in dialects::all() {
        let stream = format!("{}{}{}", dialect.opening, (dialect.text)("Hé"), dialect.closing_without_usage);
        let expected = vec![Event::Text("Hé".to_owned()), Event::Finished(FinishReason::ToolCalls)];
        assert_eq!(read_text(&dialect, &stream).await, Ok(expected));
    }
}

/// The event is refused before it has arrived completely.
#[tokio::test]
async fn an_event_of_20_megabytes_is_refused_without_being_buffered() {
    for dialect in dialects::all() {
        let giant = Bytes::from((dialect.text)(&"x".repeat(20_000_000)));
        let opening = Bytes::from(format!("{}{}", dialect.opening, (dialect.text)("Hé")));
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let pieces: Vec<Bytes> =
            (0..giant.len()).step_by(8192).map(|at| giant.slice(at..giant.len().min(at + 8192))).collect();
        let chunks = stream::iter([opening].into_iter().chain(pieces)).map(move |chunk| {
            counter.fetch_add(chunk.len(), Ordering::Relaxed);
            Ok(chunk)
        });
        let kept = vec![Event::Text("Hé".to_owned())];
        assert_eq!(read(&dialect, chunks.boxed()).await, Err((kept, ReplyErrorCode::ProviderUnavailable)));
        assert!(taken.load(Ordering::Relaxed) < MAX_EVENT_BYTES + 20_000);
    }
}

#[tokio::test]
async fn nul_is_removed_and_invalid_utf_8_is_replaced() {
    for dialect in dialects::all() {
        let nul = (dialect.text)("a\0b") + &(dialect.text)("\0");
        let stream = format!("{}{nul}{}", dialect.opening, dialect.closing_without_usage);
        assert_eq!(text_of(&read_text(&dialect, &stream).await.unwrap()), "ab");

        let mut bytes = stream.replace("\\u0000", "?").into_bytes();
        for byte in bytes.iter_mut().filter(|byte| **byte == b'?') {
            *byte = 0xff;
        }
        assert_eq!(text_of(&read(&dialect, chunks(&bytes, 7)).await.unwrap()), "a\u{fffd}b\u{fffd}");
    }
}

#[tokio::test]
async fn invalid_json_ends_the_reply() {
    for dialect in dialects::all() {
        let broken =
            format!("{}{}data: {{\"type\": oops\n\n{}", dialect.opening, (dialect.text)("Hé"), dialect.closing);
        let kept = vec![Event::Text("Hé".to_owned())];
        assert_eq!(read_text(&dialect, &broken).await, Err((kept, ReplyErrorCode::ProviderTruncated)));
    }
}

#[tokio::test]
async fn the_length_of_tool_arguments_is_limited() {
    for dialect in dialects::all() {
        let more = "y".repeat(200_000);
        let part = dialect.tool_call.split_inclusive("\n\n").find(|event| event.contains("{\\\"up")).unwrap();
        let flood =
            format!("{}{}", dialect.opening, dialect.tool_call.replace(part, &part.replace("up", &more).repeat(6)));
        assert_eq!(read_text(&dialect, &flood).await, Err((vec![], ReplyErrorCode::ProviderUnavailable)));
    }
}
