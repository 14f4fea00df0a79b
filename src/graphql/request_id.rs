//! The ID of a request, in its response and in the log.

use std::fmt;

use uuid::Uuid;

/// The ID of one operation: `extensions.requestId` of its errors, the `x-request-id` header, and `request_id` in the
/// log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}
