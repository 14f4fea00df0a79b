//! Maps provider failures to [`ProviderError`]s: status codes, error bodies and broken connections.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::ProviderError;
use crate::clock::{Clock as _, SystemClock};
use crate::entity::enums::ReplyErrorCode;

const MAX_DETAIL_CHARS: usize = 500;

impl ProviderError {
    /// An error whose detail is prepared for the log: one line of at most 500 characters.
    pub fn new(code: ReplyErrorCode, detail: &str) -> Self {
        let detail = detail.chars().take(MAX_DETAIL_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { code, retry_after: None, detail }
    }

    /// The stream ended before the provider's end event.
    pub(super) fn truncated(detail: &str) -> Self {
        Self::new(ReplyErrorCode::ProviderTruncated, detail)
    }

    /// The request could not be sent, or no response was received.
    pub(super) fn unsent(cause: reqwest::Error) -> Self {
        let code = if cause.is_builder() {
            ReplyErrorCode::Internal
        } else if cause.is_timeout() && !cause.is_connect() {
            ReplyErrorCode::TimedOut
        } else {
            ReplyErrorCode::ProviderUnavailable
        };
        Self::new(code, &chain(cause))
    }

    /// The body of a successful response was interrupted.
    pub(super) fn unread(cause: reqwest::Error) -> Self {
        let code = if cause.is_timeout() { ReplyErrorCode::TimedOut } else { ReplyErrorCode::ProviderTruncated };
        Self::new(code, &chain(cause))
    }
}

/// The error and its causes in one line, without the URL, which may contain secrets.
fn chain(cause: reqwest::Error) -> String {
    let cause = cause.without_url();
    let mut text = cause.to_string();
    let mut source = std::error::Error::source(&cause);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// A provider's error, in the fields that both protocols have.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    status: Option<u16>,
    kind: String,
    code: String,
    message: String,
}

impl Complaint {
    /// From an error response with any body.
    pub(super) fn from_body(status: u16, body: &[u8]) -> Self {
        let complaint = match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                // Gemini wraps the object in a list.
                let value = value.get(0).unwrap_or(&value);
                Self::from_value(value.get("error").unwrap_or(value))
            }
            Err(_) => Self { message: String::from_utf8_lossy(body).into_owned(), ..Self::default() },
        };
        Self { status: Some(status), ..complaint }
    }

    /// From the `error` of an event. OpenRouter and vLLM put the status code into its code.
    pub(super) fn from_value(error: &Value) -> Self {
        let field = |name: &str| match &error[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let message = match error {
            Value::String(text) => text.clone(),
            Value::Object(_) if !field("message").is_empty() => field("message"),
            other => other.to_string(),
        };
        let code = field("code");
        let status = code.parse().ok().filter(|status| (400..600).contains(status));
        Self { status, kind: field("type"), code, message }
    }

    pub(super) fn into_error(self, retry_after: Option<Duration>) -> ProviderError {
        let status = self.status.map_or_else(|| "in the stream".to_owned(), |status| status.to_string());
        let mut error =
            ProviderError::new(self.meaning(), &format!("{status} {} {}: {}", self.kind, self.code, self.message));
        error.retry_after = retry_after;
        error
    }

    fn meaning(&self) -> ReplyErrorCode {
        let words = format!("{} {} {}", self.kind, self.code, self.message).to_ascii_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        // Servers that wrap vLLM or llama.cpp return 500.
        let is_refusal = self.status.is_none_or(|status| matches!(status, 400 | 413 | 422 | 500));
        if is_refusal && says(&CONTEXT_TOO_LONG) || self.status == Some(413) {
            return ReplyErrorCode::ContextTooLong;
        }
        if self.status.is_none_or(|status| matches!(status, 400 | 403 | 422)) && says(&CONTENT_FILTERED) {
            return ReplyErrorCode::ContentFiltered;
        }
        // No credit left, which a retry does not change.
        if says(&["insufficient_quota", "billing_error"]) {
            return ReplyErrorCode::ProviderRejected;
        }
        match self.status {
            Some(429) => ReplyErrorCode::ProviderRateLimited,
            // 529 is from Anthropic, 498 from Groq.
            Some(498 | 529) => ReplyErrorCode::ProviderOverloaded,
            Some(503) if says(&["overload", "capacity"]) => ReplyErrorCode::ProviderOverloaded,
            Some(408 | 504) => ReplyErrorCode::TimedOut,
            Some(status) if (300..500).contains(&status) => ReplyErrorCode::ProviderRejected,
            _ if says(&["overloaded_error", "overloaded"]) => ReplyErrorCode::ProviderOverloaded,
            _ if says(&["rate_limit"]) => ReplyErrorCode::ProviderRateLimited,
            _ if says(&["timeout_error"]) => ReplyErrorCode::TimedOut,
            _ if says(&REJECTED) => ReplyErrorCode::ProviderRejected,
            _ => ReplyErrorCode::ProviderUnavailable,
        }
    }
}

/// Error messages for chats that exceed the context window; `docs/providers.md` lists the sources.
const CONTEXT_TOO_LONG: [&str; 22] = [
    // OpenAI, Azure, Groq, DeepSeek, OpenRouter, Mistral and vLLM
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "please reduce the length",
    // Anthropic
    "prompt is too long",
    "input is too long",
    "exceed context limit",
    "request_too_large",
    // Gemini
    "exceeds the maximum number of tokens allowed",
    // xAI
    "maximum prompt length is",
    // Perplexity
    "too_many_prompt_tokens",
    "length of all messages is too long",
    // Ollama
    "exceeded max context length",
    "exceeds the context length",
    // vLLM and SGLang
    "longer than the maximum model length",
    "longer than the model's context length",
    "context length is only",
    // llama.cpp
    "exceed_context_size",
    "exceeds the available context size",
    // LM Studio
    "greater than the context length",
    "context length of only",
    "cannot truncate prompt with n_keep",
];

/// OpenAI, Azure and Anthropic.
const CONTENT_FILTERED: [&str; 4] =
    ["content_filter", "content_policy", "content management policy", "content filtering policy"];

const REJECTED: [&str; 5] =
    ["invalid_request_error", "authentication_error", "permission_error", "not_found_error", "invalid_api_key"];

/// The time until a retry is allowed: `retry-after-ms` (OpenAI), or `retry-after` in seconds or as a date (RFC 9110,
/// section 10.2.3). A date is relative to the response's own `Date`, so the clocks need not agree.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let wait = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = wait.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = DateTime::parse_from_rfc2822(wait).ok()?.with_timezone(&Utc);
    let now = text(DATE.as_str()).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let now = now.map_or_else(|| SystemClock.now(), |date| date.with_timezone(&Utc));
    Some((until - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str) -> ReplyErrorCode {
        Complaint::from_body(status, body.as_bytes()).into_error(None).code
    }

    #[test]
    fn maps_statuses_and_bodies_to_codes() {
        use ReplyErrorCode::*;
        let cases = [
            (429, "", ProviderRateLimited),
            (429, r#"{"error":{"code":"insufficient_quota","message":"Add credit"}}"#, ProviderRejected),
            (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, ProviderOverloaded),
            (503, r#"{"error":{"message":"The model is overloaded"}}"#, ProviderOverloaded),
            (503, "<html>Service Unavailable</html>", ProviderUnavailable),
            (
                500,
                r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
                ProviderUnavailable,
            ),
            (502, "", ProviderUnavailable),
            (504, "", TimedOut),
            (401, r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#, ProviderRejected),
            (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#, ProviderRejected),
            (400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#, ProviderRejected),
            (302, "", ProviderRejected),
            (413, "", ContextTooLong),
            (400, r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#, ContextTooLong),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 8192 tokens."}"#,
                ContextTooLong,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 1 > 0"}}"#,
                ContextTooLong,
            ),
            (400, r#"{"error":{"code":"content_filter","message":"Azure"}}"#, ContentFiltered),
            (400, r#"{"error":{"message":"Output blocked by content filtering policy"}}"#, ContentFiltered),
            (400, r#"{"error":"model is required"}"#, ProviderRejected),
        ];
        for (status, body, expected) in cases {
            assert_eq!(meaning(status, body), expected, "{status} {body}");
        }
    }

    /// The published error of each provider for a chat that exceeds the context window.
    #[test]
    fn recognizes_context_window_errors() {
        let cases = [
            (
                400,
                r#"{"error":{"message":"prompt too long; exceeded max context length by 1119046 tokens (ref: 9616)","type":"invalid_request_error","param":null,"code":null}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"the input length exceeds the context length","type":"invalid_request_error"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The total length of all messages is too long.","type":"too_many_prompt_tokens","code":400}}"#,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]"#,
            ),
            (
                400,
                r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192.","type":"BadRequestError","code":400}"#,
            ),
            (
                400,
                r#"{"error":{"message":"You passed 9000 input tokens and requested 0 output tokens. However, the model's context length is only 8192 tokens.","type":"BadRequestError"}}"#,
            ),
            (
                500,
                r#"{"detail":"[address=0.0.0.0:43769] The decoder prompt (length 66501) is longer than the maximum model length of 65536."}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"request (355724 tokens) exceeds the available context size (262144 tokens), try increasing it","type":"exceed_context_size_error","n_ctx":262144}}"#,
            ),
            (
                400,
                r#"{"error":"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096)."}"#,
            ),
            (
                400,
                r#"{"error":"Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough."}"#,
            ),
            (400, r#"{"error":"Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}"#),
            (
                400,
                r#"{"error":{"message":"This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021 tokens.","code":400}}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"Prompt contains 140000 tokens, too large for model with 131072 maximum context length","type":"invalid_request_error"}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Your input exceeds the context window of this model.","code":"context_length_exceeded"}}"#,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3333404 tokens > 200000 maximum"}}"#,
            ),
        ];
        for (status, body) in cases {
            assert_eq!(meaning(status, body), ReplyErrorCode::ContextTooLong, "{body}");
        }
        let limited =
            r#"{"error":{"message":"Rate limit reached on tokens per minute: the context window is shared"}}"#;
        assert_eq!(meaning(429, limited), ReplyErrorCode::ProviderRateLimited);
    }

    #[test]
    fn maps_errors_in_the_stream_to_codes() {
        use ReplyErrorCode::*;
        let cases = [
            (r#"{"type":"overloaded_error","message":"Overloaded"}"#, ProviderOverloaded),
            (r#"{"type":"rate_limit_error","message":"slow"}"#, ProviderRateLimited),
            (r#"{"type":"api_error","message":"Internal server error"}"#, ProviderUnavailable),
            (r#"{"type":"timeout_error","message":"late"}"#, TimedOut),
            (r#"{"type":"invalid_request_error","message":"no"}"#, ProviderRejected),
            (r#"{"code":429,"message":"slow down"}"#, ProviderRateLimited),
            (r#"{"code":"server_error","message":"sorry"}"#, ProviderUnavailable),
            (r#""out of memory""#, ProviderUnavailable),
            (r#"{"code":200,"type":"too_many_prompt_tokens","message":"too long"}"#, ContextTooLong),
        ];
        for (error, expected) in cases {
            let complaint = Complaint::from_value(&serde_json::from_str(error).unwrap());
            assert_eq!(complaint.into_error(None).code, expected, "{error}");
        }
    }

    #[test]
    fn details_are_one_bounded_line() {
        let error = Complaint::from_body(500, "é\n".repeat(1000).as_bytes()).into_error(None);
        assert_eq!(error.detail.chars().count(), 500);
        assert!(!error.detail.contains('\n'));
    }

    #[test]
    fn parses_all_forms_of_retry_after() {
        let read = |headers: &[(&'static str, &str)]| {
            retry_after(&headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
        };
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(read(&[("retry-after", "9"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        let date = ("date", "Fri, 20 Nov 2026 10:00:00 GMT");
        assert_eq!(read(&[date, ("retry-after", "Fri, 20 Nov 2026 10:01:30 GMT")]), Some(Duration::from_secs(90)));
        assert_eq!(read(&[date, ("retry-after", "Fri, 20 Nov 2026 09:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after", "-1")]), None);
        assert_eq!(read(&[("retry-after", "1e999")]), None);
        assert_eq!(read(&[("retry-after", "soon")]), None);
        assert_eq!(read(&[]), None);
    }
}
