//! How much one request may ask for.

use std::time::Duration;

use super::values::number;

/// The section.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitSettings {
    /// Largest body of a request, and largest message of a WebSocket, in bytes.
    #[arg(long, default_value = "1048576", value_parser = number::<u32>(1_024..=67_108_864))]
    pub max_request_bytes: u32,
    /// Connections at once.
    #[arg(long, default_value = "20000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_connections: u32,
    /// Connections of one address at once, of IPv6 of one /64; TRUSTED_PROXIES have no such limit.
    #[arg(long, default_value = "2000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_connections_per_address: u32,
    /// Seconds that a client waits for a query or a mutation; a mutation goes on after it.
    #[arg(long, default_value = "30", value_parser = number::<u32>(1..=3_600))]
    pub operation_timeout_seconds: u32,
    /// Seconds that a connection may wait for its next request: longer than a proxy in front keeps its own.
    #[arg(long, default_value = "75", value_parser = number::<u32>(1..=3_600))]
    pub keep_alive_seconds: u32,
    /// Names, numbers, strings and punctuators of a GraphQL document.
    #[arg(long, default_value = "10000", value_parser = number::<u32>(1..=100_000))]
    pub max_document_tokens: u32,
    /// Fields inside each other; introspection as tools ask it needs 14.
    #[arg(long, default_value = "20", value_parser = number::<u32>(1..=60))]
    pub max_document_depth: u32,
    /// Fields under another name.
    #[arg(long, default_value = "100", value_parser = number::<u32>(0..=5_000))]
    pub max_document_aliases: u32,
    /// Fields of the query or the mutation itself.
    #[arg(long, default_value = "20", value_parser = number::<u32>(1..=5_000))]
    pub max_document_root_fields: u32,
    /// Estimated values in the answer: a field costs 1 and what it contains, a list's content once for each entry.
    #[arg(long, default_value = "20000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_document_complexity: u32,
}

impl LimitSettings {
    /// How long a client waits for a query or a mutation.
    pub fn operation_timeout(&self) -> Duration {
        Duration::from_secs(self.operation_timeout_seconds.into())
    }

    /// How long a connection may wait for its next request.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.into())
    }
}
