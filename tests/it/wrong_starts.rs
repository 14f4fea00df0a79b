//! Wrong starts: each ends with one line that names the setting, path or host and the reason, and with the documented
//! exit code.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::client::PASSWORD;
use crate::support::command::{Outcome, duologue, duologue_as_nobody};
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::server::Setup;

/// The exit code for a wrong command line or setting.
const SETTING: i32 = 2;
/// The exit code for anything else that prevents a start.
const MACHINE: i32 = 1;

/// A file that is not a database, a broken model file, a file in place of a folder, and a certificate without its key.
fn prepare(home: &Path) {
    std::fs::write(home.join("text.db"), "not a database ".repeat(100)).unwrap();
    std::fs::write(home.join("models.toml"), "[[models]]\nid = 1\n").unwrap();
    std::fs::write(home.join("loop.toml"), "[[models]]\nid = \"a\"\nprovider = \"none\"\ncontext_window = 1\n")
        .unwrap();
    std::fs::write(home.join("file"), "").unwrap();
    std::fs::create_dir(home.join("folder.db")).unwrap();
}

/// The arguments, the variables, the exit code, and texts of the line.
type Start<'a> = (&'a str, &'a [(&'a str, &'a str)], i32, &'a [&'a str]);

const STARTS: &[Start<'_>] = &[
    // The command line.
    ("dance", &[], SETTING, &["unrecognized subcommand 'dance'", "see duologue --help"]),
    ("--no-such-flag", &[], SETTING, &["unexpected argument '--no-such-flag'"]),
    ("serve --prot 80", &[], SETTING, &["'--prot'", "similar argument exists: '--port'"]),
    ("--port", &[], SETTING, &["PORT", "\"\""]),
    ("serve now", &[], SETTING, &["unexpected argument 'now'"]),
    ("user create --username eve", &[], SETTING, &["required arguments", "--email"]),
    ("backup", &[], SETTING, &["required arguments", "<FILE>"]),
    ("migrate up -n 0", &[], SETTING, &["'0'", "-n"]),
    ("migrate down -n some", &[], SETTING, &["'some'", "-n"]),
    // Values of settings.
    ("", &[("PORT", "http")], SETTING, &["PORT: \"http\" is not accepted; it must be a whole number from 0 to 65535"]),
    ("", &[("PORT", "80000")], SETTING, &["PORT: \"80000\""]),
    ("", &[("HOST", "example.com")], SETTING, &["HOST: \"example.com\"", "an IP address"]),
    ("", &[("ENVIRONMENT", "prod")], SETTING, &["ENVIRONMENT: \"prod\"", "development or production"]),
    ("", &[("INTROSPECTION", "x\ny")], SETTING, &["INTROSPECTION: \"x\\ny\"", "true or false"]),
    ("", &[("LOG", "loud")], SETTING, &["LOG: \"loud\"", "a level"]),
    ("", &[("LOG_FORMAT", "xml")], SETTING, &["LOG_FORMAT: \"xml\"", "text or json"]),
    ("", &[("MAX_REPLIES", "-1")], SETTING, &["MAX_REPLIES: \"-1\"", "a whole number from 1"]),
    ("", &[("SHUTDOWN_GRACE_SECONDS", "20s")], SETTING, &["SHUTDOWN_GRACE_SECONDS: \"20s\""]),
    ("", &[("TRUSTED_PROXIES", "10.0.0.0/99")], SETTING, &["TRUSTED_PROXIES", "networks"]),
    ("", &[("CORS_ORIGINS", "*")], SETTING, &["CORS_ORIGINS: \"*\"", "list or JSON array of origins"]),
    ("", &[("CORS_ORIGINS", "chat.example.com")], SETTING, &["CORS_ORIGINS", "https://chat.example.com"]),
    ("", &[("DATABASE_URL", "mysql://a/b")], SETTING, &["DATABASE_URL: [secret]", "postgres://"]),
    ("", &[("DATABASE_URL", "sqlite::memory:")], SETTING, &["DATABASE_URL: [secret]", "sqlite:"]),
    ("", &[("JWT_SECRET", "short")], SETTING, &["JWT_SECRET: [secret]", "at least 32 bytes"]),
    ("", &[("SECRET_KEY", "short")], SETTING, &["[secret]", "at least 32 bytes"]),
    ("", &[("ENVIRONMENT", "production")], SETTING, &["JWT_SECRET is not set", "openssl rand"]),
    (
        "",
        &[("ENVIRONMENT", "production"), ("JWT_SECRET", "your-secret-key-change-in-production")],
        SETTING,
        &["JWT_SECRET: [secret]", "random bytes in production"],
    ),
    ("", &[("DEFAULT_ADMIN_PASSWORD", "short")], SETTING, &["DEFAULT_ADMIN_PASSWORD: [secret]", "8 to 128"]),
    ("", &[("TLS_CERT", "cert.pem")], SETTING, &["TLS_KEY is not set", "together with TLS_CERT"]),
    ("", &[("TLS_KEY", "key.pem")], SETTING, &["TLS_CERT is not set", "together with TLS_KEY"]),
    ("", &[("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")], SETTING, &["TLS_CERT: \"cert.pem\"", "No such file"]),
    ("", &[("TLS_CERT", "text.db"), ("TLS_KEY", "file")], SETTING, &["TLS_CERT: \"text.db\"", "contains none"]),
    ("", &[("MODELS_FILE", "missing.toml")], SETTING, &["MODELS_FILE=missing.toml"]),
    ("", &[("MODELS_FILE", "models.toml")], SETTING, &["MODELS_FILE=models.toml"]),
    ("", &[("MODELS_FILE", "loop.toml")], SETTING, &["MODELS_FILE=loop.toml", "provider \"none\" is unknown"]),
    ("", &[("DEFAULT_MODEL", "no-such-model")], SETTING, &["DEFAULT_MODEL=\"no-such-model\"", "unknown"]),
    ("", &[("OPENAI_BASE_URL", "ftp://a")], SETTING, &["OPENAI_BASE_URL", "http or https"]),
    ("", &[("ANTHROPIC_API_KEY", "two words")], SETTING, &["ANTHROPIC_API_KEY=[secret]"]),
    // Folders, files and addresses.
    ("", &[("DATA_DIR", "file")], MACHINE, &["DATA_DIR", "\"file\""]),
    ("", &[("DATA_DIR", "/proc/none")], MACHINE, &["DATA_DIR", "\"/proc/none\"", "No such file"]),
    ("", &[("DATABASE_URL", "sqlite:/proc/none/a.db")], MACHINE, &["DATABASE_URL", "/proc/none/a.db", "No such file"]),
    ("", &[("DATABASE_URL", "sqlite:text.db")], MACHINE, &["DATABASE_URL", "\"text.db\"", "not a database"]),
    ("", &[("DATABASE_URL", "sqlite:folder.db")], MACHINE, &["DATABASE_URL", "\"folder.db\"", "directory"]),
    ("", &[("HOST", "192.0.2.1")], MACHINE, &["HOST, PORT", "192.0.2.1:0"]),
    // A database that is not there.
    (
        "",
        &[("DATABASE_URL", "postgres://ada:hunter2@127.0.0.1:1/chat")],
        MACHINE,
        &["DATABASE_URL", "\"chat\" at 127.0.0.1:1", "Connection refused"],
    ),
    (
        "migrate status",
        &[("DATABASE_URL", "postgres://ada:hunter2@127.0.0.1:1/chat")],
        MACHINE,
        &["\"chat\" at 127.0.0.1:1", "Connection refused"],
    ),
    (
        "",
        &[("DATABASE_URL", "postgres://ada:hunter2@no-such-host.invalid/chat")],
        MACHINE,
        &["no-such-host.invalid:5432", "failed to lookup address"],
    ),
    ("migrate status", &[], MACHINE, &["DATABASE_URL", "\"./data/duologue.db\"", "does not exist"]),
    ("migrate down --yes", &[], MACHINE, &["\"./data/duologue.db\"", "does not exist"]),
    ("backup copy.db", &[], MACHINE, &["\"./data/duologue.db\"", "does not exist"]),
    ("user create --username eve --email eve@example.com", &[], MACHINE, &["\"./data/duologue.db\"", "does not exist"]),
    // A server that is not there.
    ("health", &[("PORT", "1")], MACHINE, &["127.0.0.1:1 is not ready", "Connection refused"]),
    ("health", &[("PORT", "0")], MACHINE, &["PORT", "free port"]),
    ("health", &[("HOST", "::"), ("PORT", "1")], MACHINE, &["[::1]:1 is not ready"]),
];

#[test]
fn a_wrong_start_is_one_line_with_its_exit_code() {
    assert!(STARTS.len() >= 40);
    let home = tempfile::tempdir().unwrap();
    prepare(home.path());
    for (arguments, variables, code, told) in STARTS {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let variables = [&[("LOG", "off"), ("PORT", "0")], *variables].concat();
        let outcome = duologue(home.path(), &arguments, &variables, PASSWORD);
        let shown = format!("{arguments:?} {variables:?}: {}", outcome.stderr);
        assert_eq!(outcome.code, Some(*code), "{shown}");
        let line = outcome.complaint();
        assert!(told.iter().all(|told| line.contains(told)), "{told:?} in {shown}");
        assert!(!line.contains("hunter2") && outcome.stdout.is_empty(), "{shown}");
        let is_begun = *code != SETTING && arguments.is_empty();
        assert!(is_begun || !home.path().join("data").exists(), "nothing was begun: {shown}");
        if is_begun {
            let _ = std::fs::remove_dir_all(home.path().join("data"));
        }
    }
}

#[test]
fn a_broken_env_file_is_reported_by_its_line() {
    let home = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        std::fs::write(home.path().join(".env"), text).unwrap();
        duologue(home.path(), &["schema"], &[], "")
    };
    let outcome = check("LOG=off\n\nJWT_SECRET hunter2\n");
    assert_eq!((outcome.code, outcome.complaint()), (Some(SETTING), ".env: line 3 is not of the form NAME=value"));
    let outcome = check("PORT=none\n");
    assert_eq!(outcome.code, Some(SETTING));
    assert!(outcome.complaint().starts_with("PORT: \"none\""), "{}", outcome.stderr);
    assert_eq!(duologue(home.path(), &["schema"], &[("PORT", "1")], "").code, Some(0), "the environment wins");
    std::fs::remove_file(home.path().join(".env")).unwrap();
    std::fs::create_dir(home.path().join(".env")).unwrap();
    let outcome = duologue(home.path(), &["schema"], &[], "");
    assert_eq!(outcome.code, Some(SETTING));
    assert!(outcome.complaint().starts_with(".env: "), "{}", outcome.stderr);
}

#[test]
fn a_misspelled_variable_is_a_warning() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".env"), "DATABSE_URL=sqlite:a.db\n").unwrap();
    let outcome = duologue(home.path(), &["schema"], &[("MAX_REPLYS", "5"), ("HOME", "/")], "");
    assert_eq!(outcome.code, Some(0));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("DATABSE_URL") && lines[0].contains("DATABASE_URL?"));
    assert!(lines[1].contains("MAX_REPLYS") && lines[1].contains("MAX_REPLIES?"), "{lines:?}");
}

#[test]
fn a_folder_without_write_access_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let start =
        |variables: &[(&str, &str)]| duologue_as_nobody(home.path(), &[], &[&[("LOG", "off")], variables].concat());
    std::fs::set_permissions(&data, Permissions::from_mode(0o555)).unwrap();
    for (variables, told) in [
        (&[][..], "DATA_DIR: cannot write to \"./data\": Permission denied"),
        (&[("DATA_DIR", "data/below")], "DATA_DIR: cannot create \"data/below\": Permission denied"),
    ] {
        let outcome = start(variables);
        assert_eq!(outcome.code, Some(MACHINE), "{}", outcome.stderr);
        assert!(outcome.complaint().starts_with(told), "{}", outcome.stderr);
    }
    let url = format!("sqlite:{}", data.join("a.db").display());
    let state = home.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    let outcome = start(&[("DATABASE_URL", &url), ("DATA_DIR", state.to_str().unwrap())]);
    assert!(outcome.complaint().contains("a.db.lock\": Permission denied"), "{}", outcome.stderr);
}

#[test]
fn a_second_server_names_what_the_first_one_uses() {
    run(Engine::Sqlite, |database| async move {
        let setup = Setup::new(&database);
        let server = setup.start().await;
        let home = setup.folder().to_owned();
        let url = database.url().to_owned();
        let attempt = move |url: Option<&str>, data: &str, arguments: &[&str]| {
            let url = url.map(|url| ("DATABASE_URL", url));
            let variables: Vec<_> =
                [("LOG", "off"), ("PORT", "0"), ("DATA_DIR", data)].into_iter().chain(url).collect();
            let outcome = duologue(&home, arguments, &variables, "");
            assert_eq!(outcome.code, Some(MACHINE), "{}", outcome.stderr);
            outcome.complaint().to_owned()
        };
        tokio::task::spawn_blocking(move || {
            assert_eq!(attempt(None, "./data", &[]), "DATA_DIR: another server uses \"./data\", or is still stopping");
            let file = url.strip_prefix("sqlite:").unwrap();
            let told = format!("DATABASE_URL: another server uses the SQLite file {file:?}, or is still stopping");
            assert_eq!(attempt(Some(&url), "./other", &[]), told);
            assert_eq!(attempt(Some(&url), "./other", &["migrate", "fresh", "--yes"]), told);
        })
        .await
        .unwrap();
        server.stop().await;
    });
}

#[test]
fn a_port_in_use_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let outcome = duologue(home.path(), &["serve", "--port", &port], &[("LOG", "off")], "");
    assert_eq!(outcome.code, Some(MACHINE), "{}", outcome.stderr);
    assert!(outcome.complaint().contains(&format!("127.0.0.1:{port}: Address already in use")), "{}", outcome.stderr);
}

#[test]
fn a_postgresql_server_tells_its_own_reason() {
    run(Engine::Postgres, |database| async move {
        let missing = format!("{}_missing", database.url());
        let outcome = tokio::task::spawn_blocking(move || {
            let home = tempfile::tempdir().unwrap();
            duologue(home.path(), &[], &[("DATABASE_URL", &missing), ("LOG", "off")], "")
        });
        let outcome = outcome.await.unwrap();
        assert_eq!(outcome.code, Some(MACHINE), "{}", outcome.stderr);
        let line = outcome.complaint();
        assert!(line.starts_with("DATABASE_URL: ") && line.ends_with("does not exist"), "{line}");
        assert!(user(&database).await.complaint().contains("migrations are pending"));
    });
}

/// Creates a user in a database without tables.
async fn user(database: &TestDatabase) -> Outcome {
    let url = database.url().to_owned();
    let create = move || {
        let home = tempfile::tempdir().unwrap();
        let arguments = ["user", "create", "--username", "ada", "--email", "ada@example.com"];
        duologue(home.path(), &arguments, &[("DATABASE_URL", &url)], PASSWORD)
    };
    tokio::task::spawn_blocking(create).await.unwrap()
}
