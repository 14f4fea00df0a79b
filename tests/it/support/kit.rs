//! The accounts of the domain, on a clock that tests advance.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use duologue::clock::{Clock, IdGenerator};
use duologue::config::CommandLine;
use duologue::domain::accounts::{Accounts, Credentials, NewUser, Registration, SignedIn};
use duologue::domain::{Client, Requester, Result};
use duologue::storage::Database;
use duologue::storage::migrations::{Step, run};
use tokio_util::task::TaskTracker;

use super::client::PASSWORD;
use super::database::TestDatabase;

/// The address of clients, unless a test names another one.
pub(crate) const HOME: &str = "192.0.2.7";

/// A clock that changes only when a test advances it.
struct StoppedClock(Mutex<DateTime<Utc>>);

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// The accounts of one node on a migrated database.
pub(crate) struct Kit {
    pub(crate) accounts: Accounts,
    pub(crate) database: Database,
    pub(crate) tracker: TaskTracker,
    clock: Arc<StoppedClock>,
    // Dropped last.
    _home: TestDatabase,
}

impl Kit {
    /// With settings from the command line.
    pub(crate) async fn new(home: TestDatabase, flags: &[&str]) -> Self {
        run(home.url(), Step::Up(None)).await.unwrap();
        let database = Database::connect(home.url(), 5).await.unwrap();
        let clock = Arc::new(StoppedClock(Mutex::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap())));
        let tracker = TaskTracker::new();
        let accounts = accounts(&database, &clock, &tracker, flags);
        Self { accounts, database, tracker, clock, _home: home }
    }

    /// The accounts of another node on the same database.
    pub(crate) fn another_node(&self, flags: &[&str]) -> Accounts {
        accounts(&self.database, &self.clock, &self.tracker, flags)
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.clock.0.lock().unwrap() += by;
    }

    pub(crate) async fn register(&self, name: &str) -> Result<SignedIn> {
        self.accounts.register(registration(name, &format!("{name}@example.com")), &client()).await
    }

    pub(crate) async fn login(&self, login: &str, password: &str) -> Result<SignedIn> {
        self.login_from(HOME, login, password).await
    }

    /// Signs in from an address.
    pub(crate) async fn login_from(&self, ip: &str, login: &str, password: &str) -> Result<SignedIn> {
        let credentials = Credentials { login: login.to_owned(), password: password.to_owned(), device: None };
        self.accounts.login(credentials, &client_at(ip)).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<SignedIn> {
        self.accounts.refresh_session(token, &client()).await
    }

    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Deactivates a user past the API.
    pub(crate) async fn deactivate(&self, who: &SignedIn) {
        use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
        let transaction = self.database.begin().await.unwrap();
        let mut user = who.user.clone().into_active_model();
        user.is_active = Set(false);
        user.update(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn is_dead(&self, access_token: &str) -> bool {
        matches!(self.requester(access_token).await, Requester::Dead)
    }

    /// The requester of a request with this access token.
    pub(crate) async fn requester(&self, access_token: &str) -> Requester {
        self.accounts.authenticate(Some(&format!("Bearer {access_token}"))).await
    }
}

fn accounts(database: &Database, clock: &Arc<StoppedClock>, tracker: &TaskTracker, flags: &[&str]) -> Accounts {
    let arguments = ["duologue", "--jwt-secret", "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me"].iter().chain(flags);
    let settings = CommandLine::parse_from_parts(arguments.map(Into::into), |_| None).unwrap().settings;
    let secrets = settings.auth.signing_secrets(&settings.server.data_dir).unwrap();
    let (clock, ids) = (Arc::clone(clock), Arc::new(IdGenerator::default()));
    Accounts::new(database.clone(), clock, ids, tracker.clone(), &secrets, &settings.auth).unwrap()
}

/// A client at [`HOME`].
pub(crate) fn client() -> Client {
    client_at(HOME)
}

/// A client at an address.
pub(crate) fn client_at(ip: &str) -> Client {
    Client { ip: ip.parse().unwrap(), user_agent: Some("Test\0/1".to_owned()), connection: None }
}

pub(crate) fn new_user(username: &str, email: &str) -> NewUser {
    NewUser { username: username.to_owned(), email: email.to_owned(), password: PASSWORD.to_owned(), full_name: None }
}

pub(crate) fn registration(username: &str, email: &str) -> Registration {
    Registration { user: new_user(username, email), device: Some(" Laptop ".to_owned()) }
}
