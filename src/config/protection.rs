//! Settings for rate limits, CORS and TLS.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::SettingError;
use super::values::number;

/// Settings for rate limits, CORS and TLS.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Protection")]
pub struct ProtectionSettings {
    /// Root fields per minute of one user, or of one address for anonymous clients; 0 for no limit.
    #[arg(long, default_value = "100", value_parser = number::<u32>(0..=1_000_000))]
    pub rate_limit_per_minute: u32,
    /// Root fields per minute that start a model reply; 0 for no limit.
    #[arg(long, default_value = "20", value_parser = number::<u32>(0..=1_000_000))]
    pub chat_rate_limit_per_minute: u32,
    /// Origins of web pages that may use the API, as a comma-separated list or a JSON array; the server's own origin is
    /// always allowed, and in development also loopback origins (http://localhost, 127.0.0.1 and [::1], on any port).
    #[arg(long, default_value = "", hide_default_value = true, value_parser = Origins::from_str)]
    pub cors_origins: Origins,
    /// PEM file of the certificate chain; with TLS_KEY it enables TLS. Reloaded when it changes.
    #[arg(long)]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long)]
    pub tls_key: Option<PathBuf>,
}

/// The TLS files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsFiles<'a> {
    /// `TLS_CERT`
    pub cert: &'a Path,
    /// `TLS_KEY`
    pub key: &'a Path,
}

impl ProtectionSettings {
    /// The certificate and key files; `None` without TLS.
    pub fn tls_files(&self) -> Option<TlsFiles<'_>> {
        Some(TlsFiles { cert: self.tls_cert.as_deref()?, key: self.tls_key.as_deref()? })
    }

    /// Checks rules across settings of this section.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err(SettingError::missing("TLS_KEY", "set together with TLS_CERT")),
            (None, Some(_)) => Err(SettingError::missing("TLS_CERT", "set together with TLS_KEY")),
            _ => Ok(()),
        }
    }
}

/// Allowed origins of web pages (RFC 6454): a list, compared exactly, and optionally the loopback origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    listed: BTreeSet<String>,
    has_loopback: bool,
}

impl Origins {
    /// Adds the loopback origins on every port, where frontends under development are served.
    pub fn with_loopback(self) -> Self {
        Self { has_loopback: true, ..self }
    }

    /// Whether this is an allowed origin, in the form of the `Origin` header.
    pub fn contains(&self, origin: &str) -> bool {
        self.listed.contains(origin) || (self.has_loopback && is_loopback(origin))
    }

    /// Whether no origin is allowed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && !self.has_loopback
    }
}

/// Whether an origin's page comes from the browser's own machine: `localhost` and the names below it (RFC 6761, section
/// 6.3), or a loopback address.
fn is_loopback(origin: &str) -> bool {
    let Some(origin) = normal(origin) else { return false };
    let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    let (host, _) = host_and_port(authority);
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            let is_loopback_address = host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
            is_loopback_address || host == "localhost" || host.ends_with(".localhost")
        }
    }
}

/// The host of an authority, and its port where it names one.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl FromStr for Origins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const ACCEPTED: &str =
            "a comma-separated list or JSON array of origins such as https://chat.example.com, without a path or *";
        let text = text.trim();
        let origins = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|_| ACCEPTED)?
        } else {
            text.split(',').filter(|item| !item.trim().is_empty()).map(str::to_owned).collect::<Vec<String>>()
        };
        let listed = origins.iter().map(|origin| normal(origin.trim()).ok_or(ACCEPTED)).collect::<Result<_, _>>()?;
        Ok(Self { listed, has_loopback: false })
    }
}

/// Normalizes an origin as browsers do: lower case, without the scheme's default port. Schemes of applications
/// (`tauri://localhost`) are allowed.
fn normal(origin: &str) -> Option<String> {
    let origin = origin.to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    let (host, port) = host_and_port(authority);
    let port = port.map(str::parse::<u16>).transpose().ok()?;
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter)),
    };
    let own_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    (is_scheme && is_host).then(|| match port.filter(|port| Some(*port) != own_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_comma_separated_list_or_json_array_of_origins() {
        for text in [
            "https://chat.example.com,http://localhost:3000",
            " HTTPS://Chat.Example.com:443 , http://localhost:3000,",
            r#"["https://chat.example.com", "http://localhost:3000"]"#,
        ] {
            let origins: Origins = text.parse().unwrap();
            assert!(
                origins.contains("https://chat.example.com") && origins.contains("http://localhost:3000"),
                "{text}"
            );
            for other in ["http://chat.example.com", "https://chat.example.com:8443", "http://localhost", "null", ""] {
                assert!(!origins.contains(other), "{other}");
            }
        }
        assert!("".parse::<Origins>().unwrap().is_empty() && "[]".parse::<Origins>().unwrap().is_empty());
        assert!("tauri://localhost,http://[::1]:3000".parse::<Origins>().unwrap().contains("http://[::1]:3000"));
    }

    #[test]
    fn loopback_origins_have_any_port() {
        let origins = "https://chat.example.com".parse::<Origins>().unwrap();
        assert!(!origins.contains("http://localhost:5173"));
        let origins = origins.with_loopback();
        assert!(!origins.is_empty() && !Origins::default().with_loopback().is_empty());
        for origin in [
            "https://chat.example.com",
            "http://localhost",
            "http://localhost:5173",
            "https://localhost:5173",
            "http://app.localhost:5173",
            "http://127.0.0.1:3000",
            "http://127.1.2.3",
            "http://[::1]:3000",
        ] {
            assert!(origins.contains(origin), "{origin}");
        }
        for origin in [
            "http://localhost.evil.example",
            "http://notlocalhost",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.1@evil.example",
            "http://192.168.0.2:3000",
            "http://0.0.0.0:3000",
            "http://[::]",
            "http://[::2]",
            "http://localhost:port",
            "http://localhost/",
            "ftp://localhost",
            "localhost",
            "file://",
            "null",
            "",
        ] {
            assert!(!origins.contains(origin), "{origin}");
        }
    }

    #[test]
    fn refuses_invalid_origins() {
        for bad in [
            "*",
            "null",
            "chat.example.com",
            "https://*.example.com",
            "https://chat.example.com/",
            "https://chat.example.com/app",
            "https://me@chat.example.com",
            "https://chat.example.com:port",
            "https://",
            "://host",
            "http://[::1",
            "[1]",
            "[\"https://a.example\"",
        ] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
