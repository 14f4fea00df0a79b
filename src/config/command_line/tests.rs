use std::collections::HashMap;

use super::*;
use crate::config::server::Environment;

fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<CommandLine, CommandLineError> {
    let environment: HashMap<&str, &str> = environment.iter().copied().collect();
    let arguments = std::iter::once("duologue").chain(arguments.iter().copied()).map(OsString::from);
    CommandLine::parse_from_parts(arguments, |name| environment.get(name).map(OsString::from))
}

#[test]
fn the_clap_definition_is_valid() {
    definition().debug_assert();
}

#[test]
fn serves_with_defaults_without_arguments() {
    let line = parse(&[], &[]).unwrap();
    assert!(line.command.is_none());
    let settings = &line.settings;
    assert_eq!(settings.server.listen_address().to_string(), "127.0.0.1:8000");
    assert_eq!(settings.server.environment, Environment::Development);
    assert_eq!(settings.database_url().expose(), "sqlite:./data/duologue.db");
    assert_eq!(settings.replies.max_message_length, 8000);
    assert!(settings.auth.registration_open && settings.server.introspection && settings.server.playground);
}

#[test]
fn a_flag_overrides_its_variable_before_and_after_the_command() {
    for arguments in [["--port", "9", "serve"], ["serve", "--port", "9"]] {
        let line = parse(&arguments, &[("PORT", "7"), ("HOST", "::1")]).unwrap();
        assert_eq!(line.settings.server.listen_address().to_string(), "[::1]:9");
        assert!(matches!(line.command, Some(Command::Serve)));
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let line = parse(&[], &[("PORT", ""), ("DATABASE_URL", ""), ("JWT_SECRET", "")]).unwrap();
    assert_eq!(line.settings.server.port, 8000);
    assert!(line.settings.database.database_url.is_none() && line.settings.auth.jwt_secret.is_none());
}

#[test]
fn older_names_are_fallbacks() {
    let old = "o".repeat(32);
    let new = "n".repeat(32);
    let first = |line: CommandLine| {
        let secrets = line.settings.auth.jwt_secret.unwrap();
        secrets.iter().next().unwrap().expose().to_owned()
    };
    assert_eq!(first(parse(&[], &[("SECRET_KEY", &old)]).unwrap()), old);
    assert_eq!(first(parse(&[], &[("SECRET_KEY", &old), ("JWT_SECRET", &new)]).unwrap()), new);
    let line = parse(&[], &[("CLAUDE_API_KEY", "sk-ant-1")]).unwrap();
    assert_eq!(line.settings.models.anthropic_api_key.unwrap().expose(), "sk-ant-1");
}

#[test]
fn commands_have_their_own_arguments() {
    let migrate = |arguments: &[&str]| match parse(arguments, &[("PORT", "7")]).unwrap().command {
        Some(Command::Migrate(migrate)) => migrate,
        other => panic!("{other:?}"),
    };
    assert_eq!(migrate(&["migrate", "up"]), MigrateCommand::Up { n: None });
    assert_eq!(migrate(&["migrate", "up", "-n", "2"]), MigrateCommand::Up { n: Some(2) });
    assert_eq!(migrate(&["migrate", "down"]), MigrateCommand::Down { n: 1, yes: false });
    assert_eq!(migrate(&["migrate", "fresh", "--yes"]), MigrateCommand::Fresh { yes: true });
    assert_eq!(migrate(&["migrate", "status", "--database-url", "sqlite:a.db"]), MigrateCommand::Status);
    let create = ["user", "create", "--username", "ada", "--email", "ada@example.com", "--admin"];
    let Some(Command::User(UserCommand::Create(user))) = parse(&create, &[]).unwrap().command else { panic!() };
    assert_eq!((user.username.as_str(), user.admin), ("ada", true));
}

#[test]
fn an_invalid_value_is_one_line_with_variable_value_and_accepted_values() {
    for (name, value, accepted) in [
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("HOST", "nowhere", "an IP address"),
        ("ENVIRONMENT", "prod", "development or production"),
        ("REGISTRATION_OPEN", "maybe", "true or false"),
        ("LOG", "loud", "a level"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("MAX_REPLIES", "-1", "a whole number from 1"),
        ("MAX_MESSAGE_LENGTH", "0", "a whole number from 1"),
        ("MAX_DOCUMENT_DEPTH", "61", "a whole number from 1 to 60"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "1e3", "a whole number from 1 to 1440"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "a comma-separated list of networks"),
        ("DATABASE_MAX_CONNECTIONS", "many\nmany", "a whole number from 1"),
    ] {
        let line = parse(&[], &[(name, value)]).unwrap_err().to_string();
        assert!(line.starts_with(&format!("{name}: {value:?} is not accepted; it must be {accepted}")), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        let flag = format!("--{}={value}", name.to_lowercase().replace('_', "-"));
        assert_eq!(parse(&[&flag], &[]).unwrap_err().to_string(), line);
    }
}

#[test]
fn errors_do_not_contain_secrets() {
    for (name, value) in [
        ("JWT_SECRET", "hunter2"),
        ("SECRET_KEY", "hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("DEFAULT_ADMIN_PASSWORD", "hunter2"),
    ] {
        let line = parse(&[], &[(name, value)]).unwrap_err().to_string();
        assert!(line.contains(": [secret] is not accepted") && !line.contains("hunter2"), "{line}");
    }
}

#[test]
fn no_secret_is_in_debug_output_or_help() {
    let secret = "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";
    let set = [("JWT_SECRET", secret), ("OPENAI_API_KEY", secret), ("DEFAULT_ADMIN_PASSWORD", secret)];
    let line = parse(&[], &set).unwrap();
    assert!(!format!("{line:?}").contains(secret));
    let help = parse(&["--help"], &set).unwrap_err().to_string();
    assert!(!help.contains(secret) && help.contains("[env: JWT_SECRET]"), "{help}");
}

#[test]
fn the_help_of_a_command_shows_only_its_settings() {
    let help = |arguments: &[&str]| parse(&[arguments, &["--help"]].concat(), &[]).unwrap_err().to_string();
    let all = help(&[]);
    for heading in
        ["Server:", "Database:", "Accounts:", "Models:", "Replies:", "Limits:", "Protection:", "Metrics:", "Traces:"]
    {
        assert!(all.contains(&format!("\n{heading}\n")) && help(&["serve"]).contains(heading), "{heading} in {all}");
    }
    for (arguments, shown, hidden) in [
        (
            &["migrate", "fresh"][..],
            &["--yes", "--database-url", "--environment"][..],
            &["--port", "--max-replies"][..],
        ),
        (&["migrate"], &["--data-dir"], &["--port", "--jwt-secret"]),
        (&["user", "create"], &["--username", "--database-url", "--jwt-secret"], &["--port", "--openai-api-key"]),
        (&["backup"], &["<FILE>", "--database-url"], &["--port", "--log-format"]),
        (&["health"], &["--port", "--tls-cert"], &["--database-url", "--max-replies"]),
        (&["schema"], &["--help"], &["--port", "--database-url"]),
    ] {
        let help = help(arguments);
        for flag in shown {
            assert!(help.contains(flag), "{flag} in {help}");
        }
        for flag in hidden {
            assert!(!help.contains(flag), "{flag} in {help}");
        }
    }
    // What is hidden is accepted, because the environment is the same for all commands.
    assert_eq!(parse(&["schema", "--port", "9"], &[("MAX_REPLIES", "5")]).unwrap().settings.server.port, 9);
    assert_eq!(parse(&["migrate", "up"], &[("MAX_REPLIES", "5")]).unwrap().settings.replies.max_replies, 5);
}

#[test]
fn a_wrong_command_line_is_one_line() {
    for (arguments, expected) in [
        (&["dance"][..], "unrecognized subcommand 'dance'"),
        (&["--prot", "9"], "unexpected argument '--prot' found; a similar argument exists: '--port'"),
        (&["user", "create", "--username", "ada"], "the following required arguments were not provided: --email"),
        (&["backup"], "the following required arguments were not provided: <FILE>"),
        (&["migrate", "up", "-n", "0"], "invalid value '0' for '-n <N>'"),
    ] {
        let line = parse(arguments, &[]).unwrap_err().to_string();
        assert!(line.starts_with(expected) && line.ends_with("; see duologue --help"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn an_incomplete_default_admin_is_a_warning_of_the_server() {
    let some = [("DEFAULT_ADMIN_USERNAME", "root"), ("DEFAULT_ADMIN_EMAIL", "root@example.com")];
    let warnings = parse(&[], &some).unwrap().warnings;
    let expected = "DEFAULT_ADMIN_PASSWORD is not set, so no default admin is created; set all three or none";
    assert_eq!(warnings, [expected]);
    assert!(parse(&["migrate", "up"], &some).unwrap().warnings.is_empty());
    assert!(parse(&[], &[]).unwrap().warnings.is_empty());
}

#[test]
fn the_example_file_names_every_setting_with_its_default() {
    let example = include_str!("../../../.env.example");
    let shown: HashMap<String, String> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))?.split_once('='))
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    let default_of = |arg: &Arg| {
        arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let settings: HashMap<String, String> =
        CommandLine::command().get_arguments().filter_map(|arg| Some((variable_of(arg)?, default_of(arg)))).collect();
    assert_eq!(shown, settings);
    let page = include_str!("../../../docs/configuration.md");
    for name in settings.keys() {
        assert!(page.contains(&format!("`{name}`")), "docs/configuration.md does not describe {name}");
    }
}

#[test]
fn compose_passes_every_setting() {
    let compose = include_str!("../../../compose.yaml");
    let passes = |name: &str| {
        let names =
            |line: &str| line.trim().strip_prefix("- ").is_some_and(|entry| entry.split('=').next() == Some(name));
        compose.lines().any(names)
    };
    // The image sets it to the volume.
    let settings = CommandLine::command().get_arguments().filter_map(variable_of).collect::<Vec<_>>();
    let missing: Vec<_> = settings.iter().filter(|name| *name != "DATA_DIR" && !passes(name)).collect();
    assert!(missing.is_empty(), "compose.yaml does not pass {missing:?}");
}

#[test]
fn production_refuses_weak_secrets() {
    let line = parse(&[], &[("ENVIRONMENT", "production")]).unwrap_err().to_string();
    assert!(line.starts_with("JWT_SECRET is not set"), "{line}");
    assert!(parse(&["migrate", "up"], &[("ENVIRONMENT", "production")]).is_ok(), "which signs nothing");
}
