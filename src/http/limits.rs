//! The limits of the HTTP server.

use std::time::Duration;

/// The limits of the HTTP server. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of a request body.
    pub body: usize,
    /// Maximum time to receive a body.
    pub body_timeout: Duration,
    /// Maximum time that a client waits for a query or mutation. A mutation continues after it.
    pub operation_timeout: Duration,
    /// Root fields per minute of one user, or of one network for anonymous clients; 0 for no limit.
    pub fields_per_minute: u32,
    /// Root fields per minute that start a model reply; 0 for no limit.
    pub chat_fields_per_minute: u32,
    /// The delay before a rate limit error is sent. It slows down a flood of requests over any number of connections.
    pub refusal_delay: Duration,
    /// Maximum size of a message on a socket.
    pub message: usize,
    /// Maximum time until `connection_init` on a socket, and for its authentication.
    pub connection_init: Duration,
    /// The interval of pings on a socket. A socket on which nothing is received between two pings is closed.
    pub keep_alive: Duration,
    /// Maximum size of a message on a socket before its user is authenticated.
    pub anonymous_message: usize,
    /// Maximum time that a client may leave output unread.
    pub write_timeout: Duration,
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections per address, or per /64 for IPv6. Trusted proxies are exempt.
    pub connections_per_address: usize,
    /// Maximum total size of received bodies and messages whose operations have not ended.
    pub input: usize,
    /// The same per address.
    pub input_per_address: usize,
    /// Maximum size of unsent output of one socket. A socket that exceeds it is closed.
    pub output: usize,
    /// Maximum number of concurrent queries and mutations of one user, or of one network for anonymous clients; further
    /// ones wait.
    pub operations_at_once: usize,
    /// Maximum number of subscriptions per user, on all sockets.
    pub subscriptions_per_user: usize,
    /// Maximum number of concurrent operations on one socket.
    pub operations_per_socket: usize,
    /// Maximum number of sockets per user.
    pub sockets_per_user: usize,
    /// Maximum number of sockets per address, or per /64 for IPv6.
    pub sockets_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            body_timeout: Duration::from_secs(15),
            operation_timeout: Duration::from_secs(30),
            fields_per_minute: 0,
            chat_fields_per_minute: 0,
            refusal_delay: Duration::from_secs(1),
            message: 1 << 20,
            connection_init: Duration::from_secs(10),
            keep_alive: Duration::from_secs(25),
            anonymous_message: 64 << 10,
            write_timeout: Duration::from_secs(15),
            connections: 20_000,
            connections_per_address: 2_000,
            input: 64 << 20,
            input_per_address: 16 << 20,
            output: 16 << 20,
            operations_at_once: 4,
            subscriptions_per_user: 2_000,
            operations_per_socket: 100,
            sockets_per_user: 1_000,
            sockets_per_address: 10_000,
        }
    }
}
