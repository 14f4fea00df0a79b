//! The command line, as an operator sees it: exit codes, one line for what is wrong, and what is left on the disk.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::support::client::PASSWORD;
use crate::support::command::duologue;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_bad_value_stops_the_start_with_one_line() {
    let home = folder();
    for (variable, value, expected) in [
        ("PORT", "80000", "PORT: \"80000\" is not accepted; it must be a whole number from 0 to 65535"),
        ("ENVIRONMENT", "prod", "ENVIRONMENT: \"prod\" is not accepted; it must be development or production"),
        ("INTROSPECTION", "x\ny", "INTROSPECTION: \"x\\ny\" is not accepted; it must be true or false"),
        (
            "JWT_SECRET",
            "short",
            "JWT_SECRET: [secret] is not accepted; it must be at least 32 bytes, or a comma-separated list of such secrets",
        ),
        ("MODELS_FILE", "missing.toml", "MODELS_FILE"),
        ("CORS_ORIGINS", "*", "CORS_ORIGINS: \"*\" is not accepted; it must be a comma-separated list or JSON array"),
        ("TLS_CERT", "cert.pem", "TLS_KEY: \"\" is not accepted; it must be set together with TLS_CERT"),
        ("TLS_KEY", "key.pem", "TLS_CERT: \"\" is not accepted; it must be set together with TLS_KEY"),
        ("DEFAULT_MODEL", "no-such-model", "DEFAULT_MODEL"),
    ] {
        let outcome = duologue(home.path(), &["serve"], &[(variable, value)], "");
        assert_eq!(outcome.code, Some(2), "{variable}: {}", outcome.stderr);
        assert!(outcome.complaint().starts_with(expected), "{}", outcome.stderr);
    }
    assert!(!home.path().join("data").exists(), "nothing was begun");
}

#[test]
fn tls_files_that_cannot_be_used_are_told() {
    let home = folder();
    let files = [("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem"), ("LOG", "off")];
    let outcome = duologue(home.path(), &[], &files, "");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.complaint().starts_with("TLS_CERT: \"cert.pem\" is not accepted"), "{}", outcome.stderr);
    assert!(!home.path().join("data").exists(), "nothing was begun");
}

#[test]
fn production_wants_secrets() {
    let home = folder();
    let outcome = duologue(home.path(), &[], &[("ENVIRONMENT", "production")], "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.complaint().starts_with("JWT_SECRET: "), "{}", outcome.stderr);
    assert!(!home.path().join("data").exists(), "and makes none itself");
    let strong = "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";
    for (secret, password, told) in [
        ("your-secret-key-change-in-production", "velvet otter counts 41 lanterns", "JWT_SECRET: [secret]"),
        (strong, "admin123", "DEFAULT_ADMIN_PASSWORD: [secret]"),
    ] {
        let variables = [
            ("ENVIRONMENT", "production"),
            ("JWT_SECRET", secret),
            ("DEFAULT_ADMIN_USERNAME", "admin"),
            ("DEFAULT_ADMIN_EMAIL", "admin@example.com"),
            ("DEFAULT_ADMIN_PASSWORD", password),
        ];
        let outcome = duologue(home.path(), &[], &variables, "");
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.complaint().starts_with(told), "{}", outcome.stderr);
    }
}

#[test]
fn a_dotenv_file_is_read_and_the_environment_wins() {
    let home = folder();
    std::fs::write(home.path().join(".env"), "PORT=none\nLOG=off\n").unwrap();
    let outcome = duologue(home.path(), &["migrate", "status"], &[], "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.complaint().starts_with("PORT: \"none\""), "{}", outcome.stderr);
    assert_eq!(duologue(home.path(), &["migrate", "status"], &[("PORT", "1")], "").code, Some(0));
    assert_eq!(duologue(home.path(), &["migrate", "status"], &[("PORT", "")], "").code, Some(0));

    std::fs::write(home.path().join(".env"), "JWT_SECRET hunter2\n").unwrap();
    let outcome = duologue(home.path(), &["migrate", "status"], &[], "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.complaint().starts_with(".env: ") && !outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
}

#[test]
fn a_wrong_command_line_is_told_and_help_is_no_error() {
    let home = folder();
    assert_eq!(duologue(home.path(), &["dance"], &[], "").code, Some(2));
    assert_eq!(duologue(home.path(), &["--no-such-flag"], &[], "").code, Some(2));
    let help = duologue(home.path(), &["--help"], &[], "");
    assert_eq!(help.code, Some(0));
    for shown in ["migrate", "schema", "--max-message-length", "[env: MAX_MESSAGE_LENGTH]", "[default: 8000]"] {
        assert!(help.stdout.contains(shown), "{shown}: {}", help.stdout);
    }
}

#[test]
fn a_database_that_cannot_be_used_is_told() {
    let home = folder();
    std::fs::write(home.path().join("text.db"), "this is no database, however long it is read ".repeat(100)).unwrap();
    for url in ["postgres://nobody:hunter2@127.0.0.1:1/none", "sqlite:/proc/none/a.db", "sqlite:text.db"] {
        let outcome = duologue(home.path(), &["serve"], &[("DATABASE_URL", url), ("PORT", "0"), ("LOG", "off")], "");
        assert_eq!(outcome.code, Some(1), "{url}: {}", outcome.stderr);
        assert!(outcome.complaint().starts_with("DATABASE_URL"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
}

#[test]
fn a_port_in_use_is_told() {
    let home = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let outcome = duologue(home.path(), &["serve", "--port", &port], &[("LOG", "off")], "");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.complaint().contains(&format!("127.0.0.1:{port}")), "{}", outcome.stderr);
}

#[test]
fn the_first_start_makes_a_secret_for_its_owner_alone() {
    let home = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let secret = home.path().join("state/jwt-secret");
    let start = || {
        // It gets as far as the port, which is after everything that is made on the disk.
        duologue(home.path(), &["--port", &port, "--data-dir", "state"], &[], "");
        std::fs::read_to_string(&secret).unwrap()
    };
    let first = start();
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(first.len() >= 32);
    assert_eq!(start(), first, "and keeps it");
}

#[test]
fn migrations_are_listed_and_taken_back() {
    let home = folder();
    let migrate = |arguments: &[&str]| {
        let outcome = duologue(home.path(), &[&["migrate"], arguments].concat(), &[], "");
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
        let status = duologue(home.path(), &["migrate", "status"], &[], "").stdout;
        let count = |word: &str| status.lines().filter(|line| line.split_whitespace().any(|part| part == word)).count();
        (count("applied"), count("pending"))
    };
    let (applied, pending) = migrate(&["status"]);
    assert!(applied == 0 && pending > 1, "{applied} {pending}");
    let all = pending;
    assert_eq!(migrate(&["up", "-n", "1"]), (1, all - 1));
    assert_eq!(migrate(&["up"]), (all, 0));
    assert_eq!(migrate(&["down"]), (all - 1, 1));
    assert_eq!(migrate(&["down", "-n", "2"]), (all - 3, 3));
    assert_eq!(migrate(&["fresh"]), (all, 0));
}

#[test]
fn an_operator_makes_users() {
    let home = folder();
    let create = |name: &str, extra: &[&str], input: &str| {
        let email = format!("{name}@example.com");
        let arguments = [&["user", "create", "--username", name, "--email", &email], extra].concat();
        duologue(home.path(), &arguments, &[("LOG", "off")], input)
    };
    let made = create("ada", &["--admin"], &format!("{PASSWORD}\nnot this line\n"));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("ada") && made.stdout.contains("user_"), "{}", made.stdout);
    assert!(!made.stdout.contains(PASSWORD));

    for (name, input, expected) in [
        ("ADA", PASSWORD, "taken"),
        ("eve", "password", "easy to guess"),
        ("eve", "", "password"),
        ("e v e", PASSWORD, "username"),
    ] {
        let refused = create(name, &[], input);
        assert_eq!(refused.code, Some(1), "{name} {input}");
        assert!(refused.complaint().contains(expected), "{}", refused.stderr);
    }
    assert_eq!(duologue(home.path(), &["user", "create", "--username", "eve"], &[], PASSWORD).code, Some(2));
}
