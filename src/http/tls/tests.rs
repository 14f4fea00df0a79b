use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

/// A self-signed certificate and its key.
fn certificate(folder: &TempDir, name: &str) -> [PathBuf; 2] {
    let [cert, key] = ["cert", "key"].map(|kind| folder.path().join(format!("{name}-{kind}.pem")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .args([&key, Path::new("-out"), &cert])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    [cert, key]
}

fn load(cert: &Path, key: &Path) -> Result<Tls, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Tls::load(TlsFiles { cert, key }).map_err(|cause| cause.to_string())
}

#[test]
fn unusable_files_are_reported_in_one_line_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(&folder, "a");
    let [_, other] = certificate(&folder, "b");
    assert!(load(&cert, &key).is_ok());
    let [missing, empty, damaged] = ["missing", "empty", "damaged"].map(|name| folder.path().join(name));
    fs::write(&empty, "").unwrap();
    fs::write(&damaged, "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n").unwrap();
    for (cert, key, told) in [
        (&missing, &key, "TLS_CERT: "),
        (&empty, &key, "TLS_CERT: "),
        (&key, &key, "TLS_CERT: "),
        (&cert, &missing, "TLS_KEY: "),
        (&cert, &empty, "TLS_KEY: "),
        (&cert, &cert, "TLS_KEY: "),
        (&cert, &damaged, "TLS_KEY: "),
        (&cert, &other, "TLS_CERT, TLS_KEY: "),
    ] {
        let line = load(cert, key).err().unwrap();
        assert!(line.starts_with(told) && line.contains("accepted; "), "{line}");
        assert!(line.lines().count() == 1 && !line.contains("hunter2"), "{line}");
    }
}

#[tokio::test]
async fn changed_files_are_reloaded_and_invalid_ones_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(&folder, "used");
    let [new_cert, new_key] = certificate(&folder, "new");
    let tls = load(&cert, &key).unwrap();
    let first = tls.config.get_inner();
    let stop = CancellationToken::new();
    let watch = tls.clone().reload_every(Duration::from_millis(10), stop.clone());
    let change = async {
        let is_first = || Arc::ptr_eq(&tls.config.get_inner(), &first);
        tokio::time::sleep(Duration::from_millis(50)).await;
        fs::copy(&new_cert, &cert).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(is_first(), "the key is still the old one");
        fs::remove_file(&key).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(is_first(), "there is no key");
        fs::copy(&new_key, &key).unwrap();
        let start = std::time::Instant::now();
        while is_first() {
            assert!(start.elapsed() < Duration::from_secs(10), "it is not read again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    tokio::join!(watch, change);
}
