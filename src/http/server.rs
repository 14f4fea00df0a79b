//! Accepting connections, their timeouts and their shutdown.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio_util::sync::CancellationToken;

use crate::http::bounded_stream::Bounded;
use crate::http::connections::Connections;
use crate::http::deadlines::{Deadlines, HEADER_TIMEOUT};
use crate::http::tls::{MaybeTls, Tls};

/// Maximum size of a request's head, in bytes. It fits the longest GET query and a large token.
const MAX_HEAD: usize = 64 * 1024;

/// Serves HTTP/1.1, over TLS if `tls` is given, until it is stopped. A connection without a request is closed after
/// `keep_alive`.
///
/// At `close`, the listener and idle connections are closed and running requests may finish; at the forced shutdown,
/// every connection is closed. WebSockets are not connections of this server after their upgrade:
/// [`Edge::draining`](crate::http::Edge::draining) ends them, and the task tracker waits for them.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    tls: Option<Tls>,
    connections: Connections,
    keep_alive: Duration,
    close: CancellationToken,
    hard_stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let acceptor = Bounded { inner: MaybeTls::new(tls), connections };
    let acceptor = Deadlines { inner: acceptor, head: HEADER_TIMEOUT, idle: keep_alive };
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
    // Set on the builder, because the server's own `http1_only` disables upgrades.
    let mut builder = server.http_builder().clone().http1_only();
    // [`Deadlines`](crate::http::deadlines) replace hyper's timeout.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    *server.http_builder() = builder;
    let stop = async {
        tokio::select! {
            () = close.cancelled() => {}
            () = hard_stop.cancelled() => {}
        }
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
