//! Connections: accepting them, their timeouts, and how they end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio_util::sync::CancellationToken;

use crate::http::bounded_stream::Bounded;
use crate::http::connections::Connections;
use crate::http::deadlines::Deadlines;
use crate::http::tls::{MaybeTls, Tls};

/// How long a connection may take to shake hands for TLS, and then to send a request's head from its first byte on.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that a request's head may hold, in bytes: the longest GET query and a generous token.
const MAX_HEAD: usize = 64 * 1024;

/// Serves HTTP/1.1, over TLS where it is given, until it is stopped. A connection that waits for its next request is
/// closed after `keep_alive`.
///
/// At the soft stop the listener closes, idle connections close, and the requests that run may finish; at the hard stop
/// every connection is cut. WebSockets are not connections of the server any more: they end through
/// [`Edge::draining`](crate::http::Edge::draining), on the task tracker.
///
/// # Errors
///
/// The listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    tls: Option<Tls>,
    connections: Connections,
    keep_alive: Duration,
    soft_stop: CancellationToken,
    hard_stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let acceptor = Bounded { inner: MaybeTls::new(tls), connections };
    let acceptor = Deadlines { inner: acceptor, head: HEADER_TIMEOUT, idle: keep_alive };
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
    // Chosen here and not through the server's own `http1_only`, which would lose upgrades.
    let mut builder = server.http_builder().clone().http1_only();
    // The connection's own deadlines stand in the place of hyper's.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    *server.http_builder() = builder;
    let stop = async {
        soft_stop.cancelled().await;
        handle.graceful_shutdown(None);
        hard_stop.cancelled().await;
        handle.shutdown();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = server.serve(router.into_make_service_with_connect_info::<SocketAddr>()) => outcome,
        () = stop => Ok(()),
    }
}
