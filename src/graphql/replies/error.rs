//! The error of a reply that failed or was interrupted.

use async_graphql::{Enum, SimpleObject};

use crate::entity::enums;

/// The code of an error of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::ReplyErrorCode")]
pub enum ReplyErrorCode {
    /// The provider could not be reached, or responded with a server error.
    ProviderUnavailable,
    /// The provider reported that it is overloaded.
    ProviderOverloaded,
    /// The provider's rate limit for this server was exceeded.
    ProviderRateLimited,
    /// The provider rejected the request.
    ProviderRejected,
    /// The provider's stream ended before the reply was complete.
    ProviderTruncated,
    /// The chat exceeds the model's context window.
    ContextTooLong,
    /// The provider's content filter rejected the chat.
    ContentFiltered,
    /// The provider did not respond, or stopped sending data, within the time limit.
    TimedOut,
    /// The server terminated while the reply was being generated.
    Interrupted,
    /// An internal error of this server.
    Internal,
}

/// The error of a reply.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReplyError {
    /// The error code.
    code: ReplyErrorCode,
    /// A fixed message for the code.
    message: &'static str,
    /// Whether a retry may succeed.
    is_retryable: bool,
}

impl From<enums::ReplyErrorCode> for ReplyError {
    fn from(code: enums::ReplyErrorCode) -> Self {
        use enums::ReplyErrorCode as Code;
        let (message, is_retryable) = match code {
            Code::ProviderUnavailable => ("The provider is unavailable.", true),
            Code::ProviderOverloaded => ("The provider is overloaded.", true),
            Code::ProviderRateLimited => ("The provider's rate limit is exceeded.", true),
            Code::ProviderRejected => ("The provider rejected the request.", false),
            Code::ProviderTruncated => ("The reply was cut off before its end.", true),
            Code::ContextTooLong => ("The chat exceeds the model's context window.", false),
            Code::ContentFiltered => ("The provider's content filter rejected the chat.", false),
            Code::TimedOut => ("The provider timed out.", true),
            Code::Interrupted => ("The server terminated while the reply was being generated.", true),
            Code::Internal => ("Internal server error.", true),
        };
        Self { code: code.into(), message, is_retryable }
    }
}
