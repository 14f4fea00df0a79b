//! The terminal of the operator: the log, the password prompt and confirmations.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::StartError;
use crate::config::ServerSettings;
use crate::config::server::{Environment, LogFormat};

/// Logs two lines per migration; duologue logs one line for all.
const QUIET: &str = "sea_orm_migration=error";
/// Maximum length of a line of input, in bytes. Longer passwords are refused by the password rules.
const MAX_LINE: u64 = 4096;

/// Starts the log on standard error.
///
/// # Errors
/// The filter is invalid, or the log was started before.
pub fn start_log(settings: &ServerSettings) -> Result<(), Box<dyn Error>> {
    // The operator's setting for a target overrides the default before it.
    let filter = EnvFilter::builder().parse(format!("{QUIET},{}", settings.log))?;
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(filter_fn(is_free_of_secrets)).with(lines).try_init()?;
    Ok(())
}

/// Below `info`, libraries log the data that they transfer, such as WebSocket frames with tokens and passwords.
/// Therefore only duologue's own targets may log below `info`.
fn is_free_of_secrets(metadata: &Metadata<'_>) -> bool {
    let is_own =
        metadata.target().strip_prefix("duologue").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_own || *metadata.level() <= Level::INFO
}

/// Reads the first line of standard input, or prompts for a password without echo on a terminal.
pub(super) fn read_password() -> io::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    read_line()
}

/// Requires the confirmation of a command that deletes data: `--yes`, or in development the answer `yes`.
///
/// # Errors
/// It is not confirmed.
pub(super) fn confirm(loss: &str, is_confirmed: bool, environment: Environment) -> Result<(), StartError> {
    let refused = |why| Err(StartError::new(&format!("not confirmed: this {loss}"), why));
    match environment {
        _ if is_confirmed => return Ok(()),
        Environment::Production => return refused("ENVIRONMENT=production requires --yes"),
        Environment::Development => {}
    }
    // Without a terminal the answer may still come through a pipe, which needs no question.
    if io::stdin().is_terminal() {
        // Without standard error the question is not seen, and the answer decides.
        let _ = write!(io::stderr(), "This {loss}. Type yes to continue: ");
    }
    match read_line() {
        Ok(answer) if answer.trim() == "yes" => Ok(()),
        _ => refused("answer yes, or use --yes"),
    }
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_LINE).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
