//! TLS with certificates from files, which are reloaded when they change, so certificates can be renewed without a
//! restart.

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
use crate::http::deadlines::HEADER_TIMEOUT;

/// How often the files are checked.
const POLL: Duration = Duration::from_secs(2);

/// Why the TLS files cannot be used, as one line that names the setting.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `TLS_CERT` is not a certificate chain.
    #[error("TLS_CERT: {0:?} is not accepted; it must be a PEM file with a certificate chain ({1})")]
    Certificate(PathBuf, String),
    /// `TLS_KEY` is not a private key.
    #[error("TLS_KEY: {0:?} is not accepted; it must be a PEM file with a private key ({1})")]
    Key(PathBuf, String),
    /// Certificate and key do not match, or their type is not supported.
    #[error("TLS_CERT, TLS_KEY: {0:?} and {1:?} are not accepted; they must match ({2})")]
    Pair(PathBuf, PathBuf, rustls::Error),
}

/// The TLS configuration. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: RustlsConfig,
}

impl Tls {
    /// Loads the files.
    ///
    /// # Errors
    /// The files cannot be read or used.
    pub fn load(files: TlsFiles<'_>) -> Result<Self, TlsError> {
        let config = RustlsConfig::from_config(read(files.cert, files.key)?);
        Ok(Self { cert: files.cert.to_owned(), key: files.key.to_owned(), config })
    }

    /// Reloads the files when they change, until `stop`. New connections get the new certificate. Files that cannot be
    /// used, such as a new certificate whose key is not written yet, are ignored.
    pub async fn reload_until(self, stop: CancellationToken) {
        self.reload_every(POLL, stop).await;
    }

    async fn reload_every(self, period: Duration, stop: CancellationToken) {
        let mut seen = self.file_versions().await;
        while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let now = self.file_versions().await;
            if now != seen {
                seen = now;
                self.reload().await;
            }
        }
    }

    async fn file_versions(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.cert).await, stamp(&self.key).await]
    }

    async fn reload(&self) {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match tokio::task::spawn_blocking(move || read(&cert, &key)).await {
            Ok(Ok(config)) => {
                self.config.reload_from_config(config);
                tracing::info!("reloaded the TLS certificate");
            }
            Ok(Err(cause)) => {
                tracing::warn!(%cause, "cannot use the changed TLS files; keeping the current certificate")
            }
            Err(cause) => tracing::error!(%cause, "reading the TLS files failed"),
        }
    }
}

/// Accepts connections over TLS if configured, otherwise plain ones.
#[derive(Clone)]
pub(super) struct MaybeTls(Option<RustlsAcceptor<NoDelayAcceptor>>);

impl MaybeTls {
    pub(super) fn new(tls: Option<Tls>) -> Self {
        let acceptor = |tls: Tls| RustlsAcceptor::new(tls.config).handshake_timeout(HEADER_TIMEOUT);
        Self(tls.map(|tls| acceptor(tls).acceptor(NoDelayAcceptor::new())))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for MaybeTls {
    // Boxed, so that a plain connection does not reserve its memory.
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

/// The file properties that change when it is rewritten or a link to it is replaced.
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
        return Err(bad_cert("it contains none".to_owned()));
    }
    let secret = fs::read(key).map_err(|cause| bad_key(cause.to_string()))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|cause| bad_key(told(&cause)))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.map_err(|cause| TlsError::Pair(cert.to_owned(), key.to_owned(), cause))?;
    // Only HTTP/1.1 is served.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The library's own message may contain the file's content.
fn told(cause: &pem::Error) -> String {
    match cause {
        pem::Error::NoItemsFound => "it contains none",
        _ => "it is damaged",
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
