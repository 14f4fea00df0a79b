//! Settings, by section. Each is an environment variable and a flag of the same name in kebab case. An invalid value
//! stops the start with one line that names the variable, the value and the accepted values.

pub mod auth;
pub mod command_line;
pub mod database;
mod env_file;
pub mod limits;
pub mod metrics;
pub mod model_sources;
pub mod models;
pub mod protection;
pub mod replies;
pub mod server;
pub mod traces;
mod values;

pub use auth::AuthSettings;
pub use command_line::CommandLine;
pub use database::DatabaseSettings;
pub use limits::LimitSettings;
pub use metrics::MetricsSettings;
pub use model_sources::ModelSources;
pub use models::Secret;
pub use protection::{Origins, ProtectionSettings};
pub use replies::ReplySettings;
pub use server::{Environment, ServerSettings};
pub use traces::TraceSettings;

/// The settings of a process.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Address, data directory, logging and shutdown.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Authentication.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// Models and providers.
    #[command(flatten)]
    pub models: ModelSources,
    /// Messages and replies.
    #[command(flatten)]
    pub replies: ReplySettings,
    /// Limits of one request.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// Rate limits, CORS and TLS.
    #[command(flatten)]
    pub protection: ProtectionSettings,
    /// Metrics.
    #[command(flatten)]
    pub metrics: MetricsSettings,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceSettings,
}

impl Settings {
    /// Checks rules across settings, for a server; each value was already checked when it was parsed.
    pub fn validate(&self) -> Result<(), SettingError> {
        if self.server.environment == Environment::Production {
            self.auth.validate_for_production()?;
        }
        self.traces.validate()?;
        self.protection.validate()
    }

    /// The allowed origins: `CORS_ORIGINS`, and in development also the loopback origins.
    pub fn origins(&self) -> Origins {
        let listed = self.protection.cors_origins.clone();
        match self.server.environment {
            Environment::Development => listed.with_loopback(),
            Environment::Production => listed,
        }
    }

    /// The database URL: `DATABASE_URL`, or the URL of a SQLite file in `DATA_DIR`.
    pub fn database_url(&self) -> Secret {
        self.database.url(&self.server.data_dir)
    }
}

/// An invalid setting, displayed as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}{problem}; it must be {accepted}")]
pub struct SettingError {
    /// The environment variable, even if the value came from its flag.
    pub variable: String,
    /// The problem, after the name of the variable.
    pub problem: String,
    /// A description of the accepted values.
    pub accepted: String,
}

impl SettingError {
    /// For a setting whose value may be shown.
    pub fn new(variable: impl Into<String>, value: &str, accepted: impl Into<String>) -> Self {
        // Debug quotes and escapes line breaks, so the error stays on one line.
        Self { variable: variable.into(), problem: format!(": {value:?} is not accepted"), accepted: accepted.into() }
    }

    /// For a setting whose value is secret.
    pub fn secret(variable: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: ": [secret] is not accepted".to_owned(), accepted: accepted.into() }
    }

    /// For a setting that is required and not set.
    pub fn missing(variable: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: " is not set".to_owned(), accepted: accepted.into() }
    }
}
