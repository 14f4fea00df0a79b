//! The name of one request, in the answer and in the log.

use std::fmt;

use uuid::Uuid;

/// Names one operation: `extensions.requestId` of its errors, the `x-request-id` header, and `request_id` in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}
