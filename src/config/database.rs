//! Settings for the database.

use std::path::Path;
use std::str::FromStr as _;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use super::Secret;
use super::values::number;

/// Settings for the database.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// `postgres://…`, or `sqlite:` followed by a file path [default: a SQLite file in DATA_DIR].
    #[arg(long, hide_env_values = true, value_parser = address)]
    pub database_url: Option<Secret>,
    /// Read connections on SQLite, all connections on PostgreSQL.
    #[arg(long, default_value = "10", value_parser = number::<u32>(1..=1000))]
    pub database_max_connections: u32,
}

impl DatabaseSettings {
    /// The configured URL, or the URL of the default file in `data_dir`.
    pub(super) fn url(&self, data_dir: &Path) -> Secret {
        self.database_url.clone().unwrap_or_else(|| {
            let file = data_dir.join("duologue.db");
            // These characters are special in a URL but may occur in a directory name.
            let file = file.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
            Secret::from(format!("sqlite:{file}"))
        })
    }
}

fn address(text: &str) -> Result<Secret, &'static str> {
    let text = text.trim();
    let accepted = match text.split_once(':') {
        Some(("postgres" | "postgresql", rest)) => rest.starts_with("//") && PgConnectOptions::from_str(text).is_ok(),
        Some(("sqlite", rest)) => {
            // Each connection to an in-memory database would get its own database.
            let is_file = !rest.trim_start_matches('/').is_empty() && !rest.starts_with('?');
            let in_memory = rest.contains(":memory:") || rest.contains("mode=memory");
            is_file && !in_memory && SqliteConnectOptions::from_str(text).is_ok()
        }
        _ => false,
    };
    if accepted {
        Ok(Secret::from(text.to_owned()))
    } else {
        Err("postgres://user:password@host:port/database, or sqlite: followed by a file path")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_sqlite_and_postgres_urls() {
        for good in
            ["sqlite:data/a.db", "sqlite:///var/a.db", "sqlite://a.db?mode=rwc", "postgres://u:p@127.0.0.1:5432/d"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "a.db", "sqlite:", "sqlite://", "sqlite::memory:", "sqlite:a?mode=memory", "sqlite:a?mode=x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        for bad in ["mysql://a/b", "postgres:", "postgres://a:port/b"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_file_is_in_the_data_directory() {
        let settings = DatabaseSettings { database_url: None, database_max_connections: 1 };
        let url = settings.url(Path::new("/var/50% full?"));
        let options = SqliteConnectOptions::from_str(url.expose()).unwrap();
        assert_eq!(options.get_filename(), Path::new("/var/50% full?/duologue.db"));
    }

    #[test]
    fn errors_do_not_contain_the_password() {
        let shown = format!("{:?}", address("postgres://u:hunter2@127.0.0.1/d").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
