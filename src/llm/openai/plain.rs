//! Reads chunks that only add text, as nearly all chunks do, without building a tree of values.
//!
//! A chunk with a field or a form that is not listed here is left to the general interpreter. It reads the listed
//! chunks in the same way.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The text that a chunk adds, if the chunk does nothing else.
pub(super) fn added_text(data: &str) -> Option<String> {
    let Chunk { object, choices: [choice], .. } = serde_json::from_str(data).ok()?;
    let is_first = choice.index.is_none_or(|index| index == 0);
    (is_first && object != Some("error")).then(|| choice.delta.content.into_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the fields that may be present, and are not read")]
struct Chunk<'a> {
    #[serde(borrow)]
    object: Option<&'a str>,
    #[serde(borrow)]
    choices: [Choice<'a>; 1],
    id: Option<IgnoredAny>,
    created: Option<IgnoredAny>,
    model: Option<IgnoredAny>,
    system_fingerprint: Option<IgnoredAny>,
    service_tier: Option<IgnoredAny>,
    obfuscation: Option<IgnoredAny>,
    /// Only null: `()` is nothing else. So are the following fields of this type.
    usage: Option<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the fields that may be present, and are not read")]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Delta<'a>,
    logprobs: Option<IgnoredAny>,
    finish_reason: Option<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the fields that may be present, and are not read")]
struct Delta<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    role: Option<IgnoredAny>,
    refusal: Option<()>,
    tool_calls: Option<()>,
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::llm::Event;
    use crate::llm::interpreter::Interpreter as _;
    use crate::llm::openai::ChatCompletion;

    /// The events of a chunk as the general interpreter reads it.
    fn general(data: &str) -> Vec<Event> {
        let mut events = VecDeque::new();
        ChatCompletion::default().interpret_any(data, &mut events).unwrap();
        events.into()
    }

    #[test]
    fn plain_chunks_are_read_as_by_the_general_interpreter() {
        for (text, data) in [
            (
                " lorem",
                r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" lorem"},"finish_reason":null}]}"#,
            ),
            ("é\n\"", r#"{"choices":[{"delta":{"role":"assistant","content":"é\n\"","refusal":null}}],"usage":null}"#),
            (
                "\u{1f603}",
                r#"{"choices":[{"index":0,"logprobs":{"content":[]},"delta":{"content":"\ud83d\ude03"}}],"system_fingerprint":"fp"}"#,
            ),
            ("", r#"{"choices":[{"delta":{"content":""}}],"service_tier":"default","obfuscation":"x"}"#),
            ("a\0b", r#"{"choices":[{"delta":{"content":"a\u0000b"}}]}"#),
        ] {
            assert_eq!(added_text(data).as_deref(), Some(text), "{data}");
            let mut events = VecDeque::new();
            ChatCompletion::default().interpret(data, &mut events).unwrap();
            assert_eq!(Vec::from(events), general(data), "{data}");
        }
    }

    #[test]
    fn other_chunks_are_left_to_the_general_interpreter() {
        for data in [
            "[DONE]",
            "{",
            r#"{"choices":[]}"#,
            r#"{"object":"error","choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"error":null,"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"usage":{"prompt_tokens":1},"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":null}}]}"#,
            r#"{"choices":[{"delta":{"content":["a"]}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","reasoning":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","tool_calls":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
        ] {
            assert_eq!(added_text(data), None, "{data}");
        }
    }
}
