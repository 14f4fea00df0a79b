//! Settings for the limits of connections, requests and documents.

use std::time::Duration;

use super::values::number;

/// Settings for the limits of a request.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Maximum size of a request body and of a WebSocket message, in bytes.
    #[arg(long, default_value = "1048576", value_parser = number::<u32>(1_024..=67_108_864))]
    pub max_request_bytes: u32,
    /// Maximum number of connections.
    #[arg(long, default_value = "20000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_connections: u32,
    /// Maximum number of connections per address, or per /64 for IPv6; TRUSTED_PROXIES are exempt.
    #[arg(long, default_value = "2000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_connections_per_address: u32,
    /// Seconds that a client waits for a query or mutation; a mutation continues after it.
    #[arg(long, default_value = "30", value_parser = number::<u32>(1..=3_600))]
    pub operation_timeout_seconds: u32,
    /// Seconds that a connection may be idle between requests; must be longer than the idle timeout of a proxy in
    /// front.
    #[arg(long, default_value = "75", value_parser = number::<u32>(1..=3_600))]
    pub keep_alive_seconds: u32,
    /// Maximum number of tokens (names, numbers, strings and punctuators) in a GraphQL document.
    #[arg(long, default_value = "10000", value_parser = number::<u32>(1..=100_000))]
    pub max_document_tokens: u32,
    /// Maximum nesting of fields; the introspection query of common tools needs 14.
    #[arg(long, default_value = "20", value_parser = number::<u32>(1..=60))]
    pub max_document_depth: u32,
    /// Maximum number of aliases.
    #[arg(long, default_value = "100", value_parser = number::<u32>(0..=5_000))]
    pub max_document_aliases: u32,
    /// Maximum number of root fields of a query or mutation.
    #[arg(long, default_value = "20", value_parser = number::<u32>(1..=5_000))]
    pub max_document_root_fields: u32,
    /// Maximum estimated number of values in the response: a field costs 1 plus its selection set, multiplied by the
    /// length of a list.
    #[arg(long, default_value = "20000", value_parser = number::<u32>(1..=10_000_000))]
    pub max_document_complexity: u32,
}

impl LimitSettings {
    /// How long a client waits for a query or mutation.
    pub fn operation_timeout(&self) -> Duration {
        Duration::from_secs(self.operation_timeout_seconds.into())
    }

    /// How long a connection may be idle between requests.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.into())
    }
}
