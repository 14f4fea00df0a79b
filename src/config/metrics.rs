//! Settings for metrics.

use super::Secret;
use super::values::{boolean, line};

/// Settings for metrics.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsSettings {
    /// Whether /metrics returns metrics for Prometheus.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    pub metrics: bool,
    /// Token that a scraper must send as `Authorization: Bearer …` [default: none is required].
    #[arg(long, hide_env_values = true, value_parser = token)]
    pub metrics_token: Option<Secret>,
}

fn token(text: &str) -> Result<Secret, &'static str> {
    line(text).map(Secret::from)
}
