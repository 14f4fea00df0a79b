//! Settings, by section. Each is an environment variable and a flag of the same name in kebab case; a bad value stops the
//! start with one line that names the variable, the value and what is accepted.

pub mod auth;
pub mod command_line;
pub mod database;
pub mod limits;
pub mod model_sources;
pub mod models;
pub mod protection;
pub mod replies;
pub mod server;
mod values;

pub use auth::AuthSettings;
pub use command_line::CommandLine;
pub use database::DatabaseSettings;
pub use limits::LimitSettings;
pub use model_sources::ModelSources;
pub use models::Secret;
pub use protection::{Origins, ProtectionSettings};
pub use replies::ReplySettings;
pub use server::{Environment, ServerSettings};

/// All settings of one process.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where it listens, where its files are, how it logs and stops.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Where its rows are.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Who gets in.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// Who writes the replies.
    #[command(flatten)]
    pub models: ModelSources,
    /// How long messages and how many replies may be.
    #[command(flatten)]
    pub replies: ReplySettings,
    /// How much one request may ask for.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// How much anybody may ask for in a minute, which pages may call, and TLS.
    #[command(flatten)]
    pub protection: ProtectionSettings,
}

impl Settings {
    /// The rules that hold between settings, for a server; each value alone was checked when it was read.
    pub fn validate(&self) -> Result<(), SettingError> {
        if self.server.environment == Environment::Production {
            self.auth.validate_for_production()?;
        }
        self.protection.validate()
    }

    /// The origins whose pages may call: `CORS_ORIGINS`, and in development those of this machine.
    pub fn origins(&self) -> Origins {
        let listed = self.protection.cors_origins.clone();
        match self.server.environment {
            Environment::Development => listed.with_loopback(),
            Environment::Production => listed,
        }
    }

    /// Where the rows are: `DATABASE_URL`, or the address of a SQLite file in `DATA_DIR`.
    pub fn database_url(&self) -> Secret {
        self.database.url(&self.server.data_dir)
    }
}

/// A value that is not accepted. Shown as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {value} is not accepted; it must be {accepted}")]
pub struct SettingError {
    /// The environment variable, also when the value came from its flag.
    pub variable: String,
    /// The value in quotation marks, or what stands for a secret one.
    pub value: String,
    /// What would be accepted.
    pub accepted: String,
}

impl SettingError {
    /// For a setting whose value may be shown.
    pub fn new(variable: impl Into<String>, value: &str, accepted: impl Into<String>) -> Self {
        // Debug quotes and escapes: a value with line breaks must not break the one line.
        Self { variable: variable.into(), value: format!("{value:?}"), accepted: accepted.into() }
    }

    /// For a setting whose value nobody may see.
    pub fn secret(variable: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { variable: variable.into(), value: "[secret]".to_owned(), accepted: accepted.into() }
    }
}
