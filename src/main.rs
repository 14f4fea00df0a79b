//! The command line of duologue.

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

/// The exit code of a start with settings that are not accepted, as clap has it for a wrong command line.
const BAD_SETTINGS: u8 = 2;
/// It says two lines for each migration; duologue says one for all.
const QUIET: &str = "sea_orm_migration=error";
/// The longest line that is read as a password, in bytes: what is too long is told by the rules for passwords.
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
    // With two providers linked, rustls would panic at the first connection unless one was chosen.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "TLS was set up twice")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command.unwrap_or(Command::Serve) {
        Command::Serve => match settings.models.load() {
            Ok(models) => Ok(runtime.block_on(app::serve(settings, models))?),
            Err(cause) => Ok(complain(&*Box::<dyn Error>::from(cause), BAD_SETTINGS.into())),
        },
        Command::Migrate(command) => print(&runtime.block_on(app::migrate(&settings, command))?),
        Command::Schema => print(&app::schema()),
        Command::User(UserCommand::Create(user)) => {
            let password = read_password()?;
            print(&runtime.block_on(app::create_user(&settings, user, password))?)
        }
    }
}

fn log_to_stderr(settings: &ServerSettings) -> Result<(), Box<dyn Error>> {
    // What the operator says of a target replaces what stands before it.
    let filter = EnvFilter::builder().parse(format!("{QUIET},{}", settings.log))?;
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(filter_fn(is_free_of_secrets)).with(lines).init();
    Ok(())
}

/// Below `info`, libraries log what passes through them: frames of WebSockets with tokens and passwords. Only
/// duologue's own lines are as detailed as the operator asks.
fn is_free_of_secrets(metadata: &Metadata<'_>) -> bool {
    let is_own =
        metadata.target().strip_prefix("duologue").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_own || *metadata.level() <= Level::INFO
}

/// The first line of standard input, or what is typed, unseen, at a terminal.
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

/// Says in one line why nothing was started.
fn complain(cause: &dyn Error, code: ExitCode) -> ExitCode {
    let line = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    // When even this cannot be written, the exit code has to do.
    let _ = writeln!(io::stderr(), "duologue: {line}");
    code
}
