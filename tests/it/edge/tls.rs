//! TLS over real connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use duologue::config::protection::TlsFiles;
use duologue::http::{Limits, Tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::Server;

/// A self-signed certificate and its key.
fn certificate(folder: &TempDir, name: &str) -> [PathBuf; 2] {
    let [cert, key] = ["cert", "key"].map(|kind| folder.path().join(format!("{name}-{kind}.pem")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .args([&key, Path::new("-out"), &cert])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    [cert, key]
}

/// Sends a request over TLS and returns the start of the response. Fails unless the server has this certificate.
fn exchange(address: SocketAddr, cert: &Path, request: &str) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::IpAddress(address.ip().into());
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = StreamOwned::new(session, connection);
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer)?;
    assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    Ok(String::from_utf8_lossy(&answer[..read]).to_lowercase())
}

async fn ask(server: &Server, cert: &Path, request: &str) -> Result<String, std::io::Error> {
    let (address, cert, request) = (server.address, cert.to_owned(), request.to_owned());
    tokio::task::spawn_blocking(move || exchange(address, &cert, &request)).await.unwrap()
}

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the watch of the server under test, which ends with the test's runtime")]
async fn serves_over_tls_and_reads_a_changed_certificate() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(&folder, "used");
    let [new_cert, new_key] = certificate(&folder, "new");
    let first = folder.path().join("first.pem");
    std::fs::copy(&cert, &first).unwrap();
    let tls = Tls::load(TlsFiles { cert: &cert, key: &key }).unwrap();
    let server = Server::start_with(Limits::default(), "", Some(tls.clone())).await;
    tokio::spawn(tls.reload_until(CancellationToken::new()));

    let answer = ask(&server, &first, LIVE).await.unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let upgrade = "GET /graphql HTTP/1.1\r\nhost: a\r\norigin: https://a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    let answer = ask(&server, &first, upgrade).await.unwrap();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(ask(&server, &new_cert, LIVE).await.is_err(), "the server still has the first certificate");
    let plain = server.send(LIVE).await;
    drop(plain);

    std::fs::copy(&new_key, &key).unwrap();
    std::fs::copy(&new_cert, &cert).unwrap();
    let start = Instant::now();
    while ask(&server, &new_cert, LIVE).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the server does not load the new certificate");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(ask(&server, &first, LIVE).await.is_err());
}
