//! The command line, and the environment variable of each flag.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::{SettingError, Settings, env_file, traces};

/// Older names of variables, used if the newer name is not set.
const ALIASES: [(&str, &str); 2] = [("JWT_SECRET", "SECRET_KEY"), ("ANTHROPIC_API_KEY", "CLAUDE_API_KEY")];

/// The settings that concern each command other than `serve`. Its `--help` hides the others, which it accepts too,
/// because the environment is the same for all commands.
const CONCERNED: [(&str, &[&str]); 5] = [
    ("migrate", &["data-dir", "database-url", "environment", "log", "log-format"]),
    ("schema", &[]),
    ("user", &["data-dir", "database-url", "jwt-secret", "log", "log-format"]),
    ("backup", &["data-dir", "database-url"]),
    ("health", &["host", "port", "tls-cert", "tls-key"]),
];

/// The parsed command line.
#[derive(Debug, Parser)]
#[command(name = "duologue", version, about = "An AI-chat backend behind one GraphQL schema.")]
pub struct CommandLine {
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
    /// The command; serves if absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Warnings for the log: settings that have no effect.
    #[arg(skip)]
    pub warnings: Vec<String>,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run pending migrations, then serve (the default).
    Serve,
    /// Manage database migrations.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Print the GraphQL schema (SDL) to standard output.
    Schema,
    /// Manage accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Copy a SQLite database into a new file, also while the server runs.
    Backup {
        /// The file to create; an existing file is never overwritten.
        file: PathBuf,
    },
    /// Ask the running server of these settings whether it is ready; fails if it is not.
    Health,
}

/// The migration commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum MigrateCommand {
    /// Apply pending migrations.
    Up {
        /// Number of migrations [default: all].
        #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        n: Option<u32>,
    },
    /// Revert the newest applied migrations.
    Down {
        /// Number of migrations.
        #[arg(short, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
        n: u32,
        /// Do not ask for confirmation; required with ENVIRONMENT=production.
        #[arg(long)]
        yes: bool,
    },
    /// List the migrations with their status, applied or pending.
    Status,
    /// Drop all tables and apply all migrations again; deletes all data.
    Fresh {
        /// Do not ask for confirmation; required with ENVIRONMENT=production.
        #[arg(long)]
        yes: bool,
    },
}

impl MigrateCommand {
    /// What a command that deletes data does, as a sentence, and whether it was confirmed by `--yes`.
    pub fn loss(&self) -> Option<(&'static str, bool)> {
        match self {
            Self::Up { .. } | Self::Status => None,
            Self::Down { yes, .. } => Some(("deletes the data of the reverted migrations", *yes)),
            Self::Fresh { yes } => Some(("deletes all data", *yes)),
        }
    }
}

/// The account commands.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Create a user; reads the password from standard input or prompts for it.
    Create(CreateUser),
}

/// The user to create.
#[derive(Debug, Clone, Args)]
pub struct CreateUser {
    /// 3 to 32 ASCII letters, digits, `.`, `_` and `-`.
    #[arg(long)]
    pub username: String,
    /// E-mail address.
    #[arg(long)]
    pub email: String,
    /// Assign the administrator role, which has all permissions.
    #[arg(long)]
    pub admin: bool,
}

/// Why the command line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// A setting has an invalid value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The `.env` file cannot be read.
    #[error(".env: {0}")]
    EnvFile(String),
    /// A wrong flag or command.
    #[error("{0}; see duologue --help")]
    Usage(String),
    /// A request for help or the version; clap provides the text.
    #[error(transparent)]
    Help(#[from] clap::Error),
}

impl CommandLine {
    /// Parses this process's arguments and environment, completed by `.env` in the working directory. Must be called
    /// while the process has a single thread, because it sets environment variables.
    pub fn from_process() -> Result<Self, CommandLineError> {
        let in_file = env_file::load(Path::new(".env"))?;
        let mut line = Self::parse_from_parts(std::env::args_os(), |name| std::env::var_os(name))?;
        let in_environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let settings: Vec<String> = Self::command().get_arguments().filter_map(variable_of).collect();
        let known: Vec<String> = settings.into_iter().chain(ALIASES.map(|(_, alias)| alias.to_owned())).collect();
        let names = in_environment.chain(in_file).filter(|name| !traces::is_of_specification(name));
        line.warnings.extend(env_file::warnings(names, &known));
        Ok(line)
    }

    /// Parses arguments, and the environment variable of each flag that is not among them. An empty variable counts as
    /// unset.
    pub fn parse_from_parts(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, CommandLineError> {
        let command = definition();
        let mut arguments = arguments.into_iter();
        let mut all: Vec<OsString> = vec![arguments.next().unwrap_or_else(|| "duologue".into())];
        // Variables come before the arguments, which override them.
        for arg in command.get_arguments() {
            let Some(name) = variable_of(arg) else { continue };
            let aliases = ALIASES.iter().filter(|(of, _)| *of == name).map(|(_, alias)| *alias);
            let mut names = std::iter::once(name.as_str()).chain(aliases);
            let set = names.find_map(|name| variable(name).filter(|value| !value.is_empty()));
            if let Some(value) = set {
                all.push(as_flag(arg, &name, &value)?);
            }
        }
        all.extend(arguments);
        let read = command.clone().try_get_matches_from(all).and_then(|matches| Self::from_arg_matches(&matches));
        let mut line = read.map_err(|error| in_one_line(&command, error))?;
        if matches!(line.command, None | Some(Command::Serve)) {
            line.settings.validate()?;
            line.warnings.extend(line.settings.auth.incomplete_default_admin());
        }
        Ok(line)
    }
}

/// The command line for clap: each setting is a flag of every command.
fn definition() -> clap::Command {
    let command = CommandLine::command().args_override_self(true).mut_args(|arg| {
        let Some(name) = variable_of(&arg) else { return arg };
        let help = format!("{} [env: {name}]", arg.get_help().cloned().unwrap_or_default());
        arg.help(help).global(true)
    });
    let settings: Vec<Arg> = command.get_arguments().filter(|arg| variable_of(arg).is_some()).cloned().collect();
    CONCERNED.into_iter().fold(command, |command, (name, shown)| {
        command.mut_subcommand(name, |subcommand| hide_other_settings(subcommand, &settings, shown))
    })
}

/// Adds the hidden settings itself, so that clap does not copy the visible ones.
fn hide_other_settings(command: clap::Command, settings: &[Arg], shown: &[&str]) -> clap::Command {
    let is_shown = |arg: &&Arg| arg.get_long().is_some_and(|long| shown.contains(&long));
    let hidden = settings.iter().filter(|arg| !is_shown(arg)).map(|arg| arg.clone().hide(true));
    command.args(hidden).mut_subcommands(|subcommand| hide_other_settings(subcommand, settings, shown))
}

/// The environment variable of a setting's flag; flags of commands have none.
fn variable_of(arg: &Arg) -> Option<String> {
    arg.get_long().filter(|long| !["help", "version"].contains(long)).map(|long| long.replace('-', "_").to_uppercase())
}

fn as_flag(arg: &Arg, name: &str, value: &OsStr) -> Result<OsString, SettingError> {
    let text = value.to_str().ok_or_else(|| SettingError::new(name, &value.to_string_lossy(), "valid UTF-8"))?;
    Ok(format!("--{}={text}", arg.get_long().unwrap_or_default()).into())
}

/// Formats an error as one line, as that of the variable if it is a setting.
fn in_one_line(command: &clap::Command, error: clap::Error) -> CommandLineError {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error.into();
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let of = text(ContextKind::InvalidArg).and_then(|shown| {
        command.get_arguments().find(|arg| {
            arg.get_long().is_some_and(|long| shown.split([' ', '=']).next() == Some(format!("--{long}").as_str()))
        })
    });
    let (Some(arg), Some(variable)) = (of, of.and_then(variable_of)) else { return usage(&error) };
    let accepted = match error.kind() {
        ErrorKind::ValueValidation => error.source().map(ToString::to_string).unwrap_or_default(),
        ErrorKind::InvalidValue => "a value that is not empty".to_owned(),
        _ => return usage(&error),
    };
    if arg.is_hide_env_values_set() {
        return SettingError::secret(variable, accepted).into();
    }
    SettingError::new(variable, text(ContextKind::InvalidValue).unwrap_or_default(), accepted).into()
}

/// The paragraphs of clap's error, without the usage.
fn usage(error: &clap::Error) -> CommandLineError {
    let text = error.render().to_string();
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let told: Vec<String> = paragraphs
        .filter(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information"))
        .map(|paragraph| paragraph.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned())
        .collect();
    CommandLineError::Usage(told.join("; "))
}

#[cfg(test)]
mod tests;
