//! The executable.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use duologue::app;
use duologue::config::command_line::{Command, CommandLineError, UserCommand};
use duologue::config::server::LogFormat;
use duologue::config::{CommandLine, ServerSettings};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for invalid settings; the same as clap's for an invalid command line.
const BAD_SETTINGS: u8 = 2;
/// Logs two lines per migration; duologue logs one line for all.
const QUIET: &str = "sea_orm_migration=error";
/// Maximum length of the password line, in bytes. Longer passwords are refused by the password rules.
const MAX_PASSWORD_LINE: u64 = 4096;

fn main() -> ExitCode {
    match CommandLine::from_process() {
        Ok(line) => run(line).unwrap_or_else(|cause| complain(&*cause, ExitCode::FAILURE)),
        Err(CommandLineError::Usage(usage)) => usage.exit(),
        Err(cause) => complain(&cause, BAD_SETTINGS.into()),
    }
}

fn run(line: CommandLine) -> Result<ExitCode, Box<dyn Error>> {
    let CommandLine { settings, command } = line;
    log_to_stderr(&settings.server)?;
    // With two providers linked, rustls would panic at the first connection without a default.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "the TLS provider is already installed")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command.unwrap_or(Command::Serve) {
        Command::Serve => match settings.models.load() {
            Ok(models) => Ok(runtime.block_on(app::serve(settings, models))?),
            Err(cause) => Ok(complain(&*Box::<dyn Error>::from(cause), BAD_SETTINGS.into())),
        },
        Command::Migrate(command) => print(&runtime.block_on(app::migrate(&settings, command))?),
        Command::Schema => print(&app::schema()),
        Command::Backup { file } => print(&runtime.block_on(app::backup(&settings, &file))?),
        Command::User(UserCommand::Create(user)) => {
            let password = read_password()?;
            print(&runtime.block_on(app::create_user(&settings, user, password))?)
        }
    }
}

fn log_to_stderr(settings: &ServerSettings) -> Result<(), Box<dyn Error>> {
    // The operator's setting for a target overrides the default before it.
    let filter = EnvFilter::builder().parse(format!("{QUIET},{}", settings.log))?;
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(filter_fn(is_free_of_secrets)).with(lines).init();
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
fn read_password() -> io::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    let mut line = String::new();
    io::stdin().lock().take(MAX_PASSWORD_LINE).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn print(text: &str) -> Result<ExitCode, Box<dyn Error>> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the reason for a failed start as one line.
fn complain(cause: &dyn Error, code: ExitCode) -> ExitCode {
    let line = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    // If standard error cannot be written, the exit code still shows the failure.
    let _ = writeln!(io::stderr(), "duologue: {line}");
    code
}
