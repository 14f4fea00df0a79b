//! The command line, as an operator sees it: output, exit codes, and the files that it writes.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::PASSWORD;
use crate::support::command::duologue;
use crate::support::database::{Engine, run};
use crate::support::server::Setup;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn production_refuses_a_weak_admin_password() {
    let home = folder();
    let variables = [
        ("ENVIRONMENT", "production"),
        ("JWT_SECRET", "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me"),
        ("DEFAULT_ADMIN_USERNAME", "admin"),
        ("DEFAULT_ADMIN_EMAIL", "admin@example.com"),
        ("DEFAULT_ADMIN_PASSWORD", "admin123"),
    ];
    let outcome = duologue(home.path(), &[], &variables, "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.complaint().starts_with("DEFAULT_ADMIN_PASSWORD: [secret]"), "{}", outcome.stderr);
    assert!(!home.path().join("data").exists(), "nothing was begun");
}

#[test]
fn help_is_no_error() {
    let home = folder();
    let help = duologue(home.path(), &["--help"], &[], "");
    assert_eq!(help.code, Some(0));
    for shown in ["migrate", "schema", "--max-message-length", "[env: MAX_MESSAGE_LENGTH]", "[default: 8000]"] {
        assert!(help.stdout.contains(shown), "{shown}: {}", help.stdout);
    }
    assert_eq!(duologue(home.path(), &["migrate"], &[], "").code, Some(2), "a command is missing");
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
fn migrations_are_listed_and_reverted() {
    let home = folder();
    let migrate = |arguments: &[&str]| {
        let outcome = duologue(home.path(), &[&["migrate"], arguments].concat(), &[], "");
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
        let count = |word: &str| outcome.stdout.lines().filter(|line| line.ends_with(word)).count();
        (count(" applied"), count(" pending"))
    };
    let (applied, pending) = migrate(&["up", "-n", "1"]);
    assert!(applied == 1 && pending > 1, "{applied} {pending}");
    let all = applied + pending;
    assert_eq!(migrate(&["status"]), (1, all - 1));
    assert_eq!(migrate(&["up"]), (all, 0));
    assert_eq!(migrate(&["down", "--yes"]), (all - 1, 1));
    assert_eq!(migrate(&["down", "-n", "2", "--yes"]), (all - 3, 3));
    assert_eq!(migrate(&["fresh", "--yes"]), (all, 0));
}

#[test]
fn loss_of_data_is_confirmed() {
    let home = folder();
    assert_eq!(duologue(home.path(), &["migrate", "up"], &[], "").code, Some(0));
    let run = |command: &str, environment: &str, input: &str| {
        let outcome = duologue(home.path(), &["migrate", command], &[("ENVIRONMENT", environment)], input);
        let status = duologue(home.path(), &["migrate", "status"], &[], "").stdout;
        (outcome, status.lines().filter(|line| line.ends_with(" pending")).count())
    };
    for (command, loss) in [("fresh", "deletes all data"), ("down", "deletes the data of the reverted migrations")] {
        for (environment, input, told) in [
            ("development", "", "answer yes, or use --yes"),
            ("development", "no\n", "answer yes, or use --yes"),
            ("production", "yes\n", "ENVIRONMENT=production requires --yes"),
        ] {
            let (outcome, pending) = run(command, environment, input);
            assert_eq!((outcome.code, pending), (Some(1), 0), "{}", outcome.stderr);
            let line = outcome.complaint();
            assert!(line.contains(loss) && line.contains("\"./data/duologue.db\"") && line.ends_with(told), "{line}");
        }
    }
    let (outcome, pending) = run("down", "development", "yes\n");
    assert_eq!((outcome.code, pending), (Some(0), 1), "{}", outcome.stderr);
}

#[test]
fn an_operator_creates_users() {
    let home = folder();
    let create = |name: &str, extra: &[&str], input: &str| {
        let email = format!("{name}@example.com");
        let arguments = [&["user", "create", "--username", name, "--email", &email], extra].concat();
        duologue(home.path(), &arguments, &[("LOG", "off")], input)
    };
    assert_eq!(duologue(home.path(), &["migrate", "up", "-n", "1"], &[], "").code, Some(0));
    let refused = create("ada", &[], PASSWORD);
    assert_eq!(refused.code, Some(1));
    assert!(refused.complaint().contains("migrations are pending; run `duologue migrate up`"), "{}", refused.stderr);
    assert_eq!(duologue(home.path(), &["migrate", "up"], &[], "").code, Some(0));

    let made = create("ada", &["--admin"], &format!("{PASSWORD}\nnot this line\n"));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("ada") && made.stdout.contains("user_"), "{}", made.stdout);
    assert!(made.stdout.ends_with("in the SQLite file \"./data/duologue.db\"\n"), "{}", made.stdout);
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
}

#[test]
fn a_start_reports_its_parts_and_makes_its_files_private() {
    run(Engine::Sqlite, |database| async move {
        let setup = Setup::new(&database).with("DEFAULT_ADMIN_USERNAME", "root").with("PLAYGROUND", "false");
        let server = setup.start().await;
        let file = database.url().strip_prefix("sqlite:").unwrap().to_owned();
        let lines: Vec<Value> = server.log().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let has = |level: &str, start: &str| {
            let fits = |line: &&Value| {
                line["level"] == level && line["fields"]["message"].as_str().is_some_and(|text| text.starts_with(start))
            };
            assert_eq!(lines.iter().filter(fits).count(), 1, "{start} in {lines:#?}");
        };
        has("INFO", &format!("database: SQLite file {file:?}"));
        has("INFO", "models: demo, ");
        has("INFO", "playground: off");
        has("INFO", &format!("listening on http://{}/graphql", server.address));
        has("WARN", "DEFAULT_ADMIN_EMAIL and DEFAULT_ADMIN_PASSWORD are not set, so no default admin is created");
        let models = lines.iter().find_map(|line| {
            line["fields"]["message"].as_str().filter(|text| text.starts_with("models: ")).map(str::to_owned)
        });
        let models = models.unwrap();
        assert!(
            models.contains("; default demo; not available: anthropic (ANTHROPIC_API_KEY is not set), "),
            "{models}"
        );

        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let data = setup.folder().join("data");
        assert_eq!((mode(&data), mode(&data.join("server.lock"))), (0o700, 0o600));
        for suffix in ["", "-wal", "-shm", ".lock"] {
            assert_eq!(mode(Path::new(&format!("{file}{suffix}"))), 0o600, "{suffix}");
        }
        server.stop().await;
    });
}

#[test]
fn health_asks_the_running_server() {
    run(Engine::Sqlite, |database| async move {
        let server = Setup::new(&database).start().await;
        let port = server.address.port().to_string();
        let ask = move |host: &'static str| {
            let variables = [("HOST", host), ("PORT", port.as_str())];
            duologue(Path::new("/"), &["health"], &variables, "")
        };
        let outcomes = tokio::task::spawn_blocking(move || [ask("127.0.0.1"), ask("0.0.0.0")]).await.unwrap();
        for outcome in outcomes {
            assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
            assert_eq!(outcome.stdout, format!("{} is ready\n", server.address));
        }
        server.stop().await;
    });
}
