//! TLS from files, which are read again when they change: certificates are renewed while the server runs.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use crate::config::protection::TlsFiles;
use crate::http::server::HEADER_TIMEOUT;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(2);

/// Why TLS cannot be had from the files; one line that names the setting.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `TLS_CERT` is no certificate chain.
    #[error("TLS_CERT: {0:?} is not accepted; it must be a PEM file with a certificate chain ({1})")]
    Certificate(PathBuf, String),
    /// `TLS_KEY` is no private key.
    #[error("TLS_KEY: {0:?} is not accepted; it must be a PEM file with a private key ({1})")]
    Key(PathBuf, String),
    /// The two do not belong together, or are of a kind that is not known.
    #[error("TLS_CERT, TLS_KEY: {0:?} and {1:?} are not accepted; they must belong together ({2})")]
    Pair(PathBuf, PathBuf, rustls::Error),
}

/// What connections are encrypted with. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: RustlsConfig,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn load(files: TlsFiles<'_>) -> Result<Self, TlsError> {
        let config = RustlsConfig::from_config(read(files.cert, files.key)?);
        Ok(Self { cert: files.cert.to_owned(), key: files.key.to_owned(), config })
    }

    /// Reads the files again whenever they change, until `stop`. New connections get the new certificate. Files that cannot be
    /// used, such as a new certificate whose key is still to come, change nothing.
    pub async fn reload_until(self, stop: CancellationToken) {
        self.reload_every(POLL, stop).await;
    }

    async fn reload_every(self, period: Duration, stop: CancellationToken) {
        let mut seen = self.look().await;
        while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let now = self.look().await;
            if now != seen {
                seen = now;
                self.reload().await;
            }
        }
    }

    async fn look(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.cert).await, stamp(&self.key).await]
    }

    async fn reload(&self) {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match tokio::task::spawn_blocking(move || read(&cert, &key)).await {
            Ok(Ok(config)) => {
                self.config.reload_from_config(config);
                tracing::info!("TLS goes on with the changed certificate");
            }
            Ok(Err(cause)) => tracing::warn!(%cause, "TLS goes on with the certificate that it has"),
            Err(cause) => tracing::error!(%cause, "reading the certificate failed"),
        }
    }
}

/// Accepts connections over TLS where there is TLS, and plain ones where there is none.
#[derive(Clone)]
pub(super) struct MaybeTls(Option<RustlsAcceptor<NoDelayAcceptor>>);

impl MaybeTls {
    pub(super) fn new(tls: Option<Tls>) -> Self {
        let acceptor = |tls: Tls| RustlsAcceptor::new(tls.config).handshake_timeout(HEADER_TIMEOUT);
        Self(tls.map(|tls| acceptor(tls).acceptor(NoDelayAcceptor::new())))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for MaybeTls {
    // Boxed, so that a connection without TLS does not hold the space for it.
    type Stream = Either<TcpStream, Box<<RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, S>>::Stream>>;
    type Service = S;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Some(acceptor) = &self.0 else {
            let plain = NoDelayAcceptor::new().accept(stream, service);
            return Box::pin(async move { plain.await.map(|(stream, service)| (Either::Left(stream), service)) });
        };
        let encrypted = acceptor.accept(stream, service);
        Box::pin(async move { encrypted.await.map(|(stream, service)| (Either::Right(Box::new(stream)), service)) })
    }
}

/// What changes with a file: renewals write it anew, or point a link elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let of = |file: Metadata| Stamp { modified: file.modified().ok(), length: file.len() };
    tokio::fs::metadata(path).await.ok().map(of)
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let bad_cert = |why: String| TlsError::Certificate(cert.to_owned(), why);
    let bad_key = |why: String| TlsError::Key(key.to_owned(), why);
    let chain = fs::read(cert).map_err(|cause| bad_cert(cause.to_string()))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(|cause| bad_cert(told(&cause)))?;
    if chain.is_empty() {
        return Err(bad_cert("there is none in it".to_owned()));
    }
    let secret = fs::read(key).map_err(|cause| bad_key(cause.to_string()))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|cause| bad_key(told(&cause)))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.map_err(|cause| TlsError::Pair(cert.to_owned(), key.to_owned(), cause))?;
    // HTTP/1.1 alone is served.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The library's words may show the text that it stumbled over.
fn told(cause: &pem::Error) -> String {
    match cause {
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it is damaged",
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
