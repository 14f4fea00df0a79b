//! The executable.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use duologue::app;
use duologue::config::CommandLine;
use duologue::config::command_line::{Command, CommandLineError, UserCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for a wrong command line or setting.
const BAD_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    match CommandLine::from_process() {
        Ok(line) => run(line).unwrap_or_else(|cause| match cause.downcast_ref::<app::StartError>() {
            Some(cause) if cause.is_setting() => complain(cause, BAD_SETTINGS.into()),
            _ => complain(&*cause, ExitCode::FAILURE),
        }),
        Err(CommandLineError::Help(help)) => help.exit(),
        Err(cause) => complain(&cause, BAD_SETTINGS.into()),
    }
}

fn run(line: CommandLine) -> Result<ExitCode, Box<dyn Error>> {
    let CommandLine { settings, command, warnings } = line;
    app::start_log(&settings.server)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // With two providers linked, rustls would panic at the first connection without a default.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "the TLS provider is already installed")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command.unwrap_or(Command::Serve) {
        Command::Serve => Ok(runtime.block_on(app::serve(settings))?),
        Command::Migrate(command) => print(&runtime.block_on(app::migrate(&settings, command))?),
        Command::Schema => print(&app::schema()),
        Command::User(UserCommand::Create(user)) => print(&runtime.block_on(app::create_user(&settings, user))?),
        Command::Backup { file } => print(&runtime.block_on(app::backup(&settings, &file))?),
        Command::Health => print(&runtime.block_on(app::health(&settings))?),
    }
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
