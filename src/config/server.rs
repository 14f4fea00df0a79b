//! Settings for the server: address, data directory, logging and shutdown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::values::{boolean, line, number};

/// Settings for the server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerSettings {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_parser = address)]
    pub host: IpAddr,
    /// Port to listen on; 0 picks a free port and logs it.
    #[arg(long, default_value = "8000", value_parser = number::<u16>(0..=u16::MAX))]
    pub port: u16,
    /// Directory of the SQLite file and the generated secret; created if missing.
    #[arg(long, default_value = "./data")]
    pub data_dir: PathBuf,
    /// `development` or `production`; production refuses a missing or weak secret and a weak default admin password.
    #[arg(long, default_value = "development", value_parser = environment)]
    pub environment: Environment,
    /// Seconds that running replies may take to finish after SIGTERM.
    #[arg(long, default_value = "20", value_parser = number::<u32>(0..=3600))]
    pub shutdown_grace_seconds: u32,
    /// Comma-separated list of networks (CIDR) of proxies whose X-Forwarded-For is trusted.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = TrustedProxies::from_str)]
    pub trusted_proxies: TrustedProxies,
    /// Whether clients may use introspection.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    pub introspection: bool,
    /// Whether browsers that open /graphql get the playground.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    pub playground: bool,
    /// Log filter: a level, or a list such as `info,sea_orm=warn`.
    #[arg(long, default_value = "info", value_parser = log_filter)]
    pub log: String,
    /// Log format: `text` or `json`.
    #[arg(long, default_value = "text", value_parser = log_format)]
    pub log_format: LogFormat,
}

impl ServerSettings {
    /// The address to listen on.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// How long running replies may take to finish during shutdown.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds.into())
    }
}

/// How strictly settings are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// For development and evaluation.
    Development,
    /// For production.
    Production,
}

/// The log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// The networks of trusted proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether the address is a trusted proxy. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    match text.trim() {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "an IP address such as 127.0.0.1, 0.0.0.0 or ::, or localhost"),
    }
}

fn environment(text: &str) -> Result<Environment, &'static str> {
    match text.trim() {
        "development" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err("development or production"),
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json"),
    }
}

fn log_filter(text: &str) -> Result<String, &'static str> {
    const ACCEPTED: &str = "a level (error, warn, info, debug, trace, off) or a list such as info,sea_orm=warn";
    let filter = line(text).map_err(|_| ACCEPTED)?;
    // The filter would take a word that is not a level as a module name and log nothing else.
    let is_word = filter.chars().all(|letter| letter.is_ascii_alphanumeric());
    let is_level = filter.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    if (is_word && !is_level) || tracing_subscriber::EnvFilter::builder().parse(&filter).is_err() {
        return Err(ACCEPTED);
    }
    Ok(filter)
}

impl FromStr for TrustedProxies {
    type Err = &'static str;

    /// Parses a comma-separated list of addresses and CIDR networks (RFC 4632, section 3.1; RFC 4291, section 2.3).
    fn from_str(text: &str) -> Result<Self, &'static str> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)))
            .collect::<Result<_, _>>()
            .map(TrustedProxies)
            .map_err(|_| "a comma-separated list of networks such as 10.0.0.0/8, fd00::/8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_networks_or_single_addresses() {
        let proxies = TrustedProxies::from_str("10.0.0.0/8, fd00::/8, 192.0.2.7,").unwrap();
        for (address, trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), trusted, "{address}");
        }
        for bad in ["10.0.0.0/33", "proxy.local", "10.0.0.0/8;fd00::/8"] {
            assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_log_filter_is_a_level_or_a_list() {
        for good in ["info", "WARN", "off", "info,sea_orm=warn", "duologue=trace"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "", "info,=", "duologue=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}
