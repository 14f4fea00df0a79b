//! The composition root: builds, starts and stops all parts of the server.

use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator, SystemClock};
use crate::config::LimitSettings;
use crate::config::Settings;
use crate::config::auth::SigningSecrets;
use crate::config::models::ModelSettings;
use crate::domain::accounts::Accounts;
use crate::domain::audit::AuditLog;
use crate::domain::characters::Characters;
use crate::domain::chats::Chats;
use crate::domain::completions::{self, Completions};
use crate::domain::context::Contexts;
use crate::domain::direct_messages::DirectMessages;
use crate::domain::prompts::Prompts;
use crate::domain::replies::{Parts, Replies, RunningReplies};
use crate::domain::search::Search;
use crate::domain::usage::UsageReports;
use crate::domain::{Error, FieldError, Requester};
use crate::entity::ids::BootId;
use crate::events::{Bus, InProcess};
use crate::graphql::context::State;
use crate::graphql::document;
use crate::graphql::schema::Api;
use crate::http::{self, Authenticate, Connections, Edge, Limits, Ready, Scrape, Tls};
use crate::lifecycle::Lifecycle;
use crate::llm::driver::Policy;
use crate::llm::registry::Registry;
use crate::metrics::Metrics;
use crate::storage::boot_file::BootFile;
use crate::storage::migrations::{self, Step};
use crate::storage::{Database, Location, ServerLock};
use crate::traces::Traces;
use crate::{jobs, llm};

mod commands;
mod console;
mod measure;
mod traces;

pub use commands::{backup, create_user, health, migrate, schema};
pub use console::start_log;

/// Time limit of the readiness check of the database.
const READY_LIMIT: Duration = Duration::from_secs(2);

/// Why a command failed, as one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
pub struct StartError {
    line: String,
    is_setting: bool,
}

impl StartError {
    fn new(what: &str, cause: impl Display) -> Self {
        Self { line: format!("{what}: {cause}"), is_setting: false }
    }

    /// For a setting whose value cannot be used.
    fn setting(cause: impl Display) -> Self {
        Self { line: cause.to_string(), is_setting: true }
    }

    /// Whether the value of a setting is the reason, rather than the state of the machine.
    pub fn is_setting(&self) -> bool {
        self.is_setting
    }
}

/// Builds the accounts of this process.
fn accounts(
    settings: &Settings,
    secrets: &SigningSecrets,
    database: &Database,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    tracker: TaskTracker,
) -> Result<Accounts, StartError> {
    Accounts::new(database.clone(), clock, ids, tracker, secrets, &settings.auth)
        .map_err(|cause| refused("JWT_SECRET", &cause))
}

/// The secrets for tokens; generated on the first start if not configured.
fn secrets(settings: &Settings) -> Result<SigningSecrets, StartError> {
    let failed = |cause| StartError::new("DATA_DIR: cannot read or create the secret", cause);
    settings.auth.signing_secrets(&settings.server.data_dir).map_err(failed)
}

/// Creates `DATA_DIR`, which contains the default database. Only the account of the server can read it.
fn create_data_dir(settings: &Settings) -> Result<(), StartError> {
    let folder = &settings.server.data_dir;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|cause| StartError::new(&format!("DATA_DIR: cannot create {folder:?}"), cause))
}

fn database(settings: &Settings) -> Result<(String, Location), StartError> {
    let url = settings.database_url();
    let location = Location::of(url.expose()).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
    Ok((url.expose().to_owned(), location))
}

/// All errors of an input in one line, or the cause of an internal error.
fn refused(what: &str, cause: &Error) -> StartError {
    let fields =
        |fields: &[FieldError]| fields.iter().map(|field| field.message.as_str()).collect::<Vec<_>>().join(" ");
    match cause {
        Error::Invalid(mistakes) | Error::Conflict { fields: mistakes, .. } => StartError::new(what, fields(mistakes)),
        Error::Internal(source) => StartError::new(what, source),
        other => StartError::new(what, other),
    }
}

/// Serves until a signal and returns the exit code.
///
/// # Errors
/// A setting, the address or the database cannot be used; nothing was served.
pub async fn serve(settings: Settings) -> Result<ExitCode, StartError> {
    let lifecycle = Lifecycle::new(settings.server.shutdown_grace())
        .map_err(|cause| StartError::new("cannot listen for signals", cause))?;
    let tls = settings.protection.tls_files().map(Tls::load).transpose().map_err(StartError::setting)?;
    let models = settings.models.load().map_err(StartError::setting)?;
    create_data_dir(&settings)?;
    let boot_file = BootFile::lock(&settings.server.data_dir).map_err(|cause| StartError::new("DATA_DIR", cause))?;
    let (url, location) = database(&settings)?;
    let _lock = ServerLock::acquire(&location).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
    let secrets = secrets(&settings)?;
    let (listener, address) = listen(&settings)?;
    let database = open(&url, &location, &settings).await?;
    tracing::info!("database: {location}");
    let boot = BootId(IdGenerator::default().next(SystemClock.now()));
    let (export, traces) = traces::export(&settings.traces, boot)?.unzip();
    let app = App::build(&settings, &secrets, &models, database.clone(), &lifecycle, boot, traces.unwrap_or_default())?;
    let predecessor = boot_file
        .replace(app.boot)
        .map_err(|cause| StartError::new("DATA_DIR: cannot write the file of the running server", cause))?;
    app.prepare(&settings, predecessor).await?;
    tracing::info!("models: {}", models.summary());
    if settings.server.playground && !http::has_pages() {
        tracing::warn!("playground: this build has no pages; `make build` includes them");
    } else {
        tracing::info!("playground: {}", if settings.server.playground { "on" } else { "off" });
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    app.start(&settings, &lifecycle, listener, tls);
    tracing::info!(
        %address,
        server.address = %address.ip(),
        server.port = address.port(),
        service.version = env!("CARGO_PKG_VERSION"),
        "listening on {scheme}://{address}/graphql"
    );
    let code = lifecycle.run_until_stopped().await;
    database.close().await;
    if let Some(export) = export {
        export.finish().await;
    }
    Ok(code)
}

fn listen(settings: &Settings) -> Result<(TcpListener, SocketAddr), StartError> {
    let wanted = settings.server.listen_address();
    let failed = |cause| StartError::new(&format!("HOST, PORT: cannot listen on {wanted}"), cause);
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn open(url: &str, location: &Location, settings: &Settings) -> Result<Database, StartError> {
    let failed = |cause: &dyn Display| StartError::new(&format!("DATABASE_URL: cannot use the {location}"), cause);
    location.prepare().map_err(|cause| failed(&cause))?;
    location.check().await.map_err(|cause| failed(&cause))?;
    migrations::run(url, Step::Up(None)).await.map_err(|cause| failed(&cause))?;
    Database::connect(url, settings.database.database_max_connections).await.map_err(|cause| failed(&cause))
}

/// The parts of the server.
struct App {
    api: Api,
    state: State,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    boot: BootId,
    database: Database,
    metrics: Metrics,
    traces: Traces,
    /// Requests, sockets, replies and data loaders, which the graceful shutdown waits for.
    work: TaskTracker,
}

impl App {
    fn build(
        settings: &Settings,
        secrets: &SigningSecrets,
        models: &ModelSettings,
        database: Database,
        lifecycle: &Lifecycle,
        boot: BootId,
        traces: Traces,
    ) -> Result<Self, StartError> {
        let (clock, ids): (Arc<dyn Clock>, Arc<IdGenerator>) = (Arc::new(SystemClock), Arc::default());
        let (work, metrics) = (TaskTracker::new(), Metrics::default());
        let failed = |cause| StartError::new("models", cause);
        let models = Arc::new(Registry::build(models, llm::http_client().map_err(failed)?).map_err(failed)?);
        let limits = &settings.replies;
        let contexts = Contexts {
            database: database.clone(),
            clock: Arc::clone(&clock),
            models: Arc::clone(&models),
            max_message_length: limits.max_message_length as usize,
        };
        let bus: Arc<dyn Bus> = Arc::<InProcess>::default();
        let running = RunningReplies::new(limits.max_replies_per_user as usize, limits.max_replies as usize);
        let replies = Replies::new(Parts {
            database: database.clone(),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            models: Arc::clone(&models),
            contexts: contexts.clone(),
            completions: Completions {
                database: database.clone(),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
                models: Arc::clone(&models),
                metrics: metrics.clone(),
                traces: traces.clone(),
                stop: lifecycle.soft().clone(),
                slots: completions::slots(),
            },
            boot,
            running: running.clone(),
            policy: Policy::default(),
            max_message_length: limits.max_message_length as usize,
            bus: Arc::clone(&bus),
            tracker: work.clone(),
            metrics: metrics.clone(),
            traces: traces.clone(),
            hard_stop: lifecycle.hard().clone(),
        });
        let chats = Chats {
            database: database.clone(),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            models: Arc::clone(&models),
            running: Arc::new(running),
            bus: Arc::clone(&bus),
        };
        let direct_messages = DirectMessages {
            database: database.clone(),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            bus,
            max_length: limits.max_message_length as usize,
        };
        let state = State {
            accounts: accounts(settings, secrets, &database, Arc::clone(&clock), Arc::clone(&ids), work.clone())?,
            characters: Characters {
                database: database.clone(),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
                models: Arc::clone(&models),
            },
            search: Search { database: database.clone() },
            prompts: Prompts { database: database.clone(), clock: Arc::clone(&clock), ids: Arc::clone(&ids) },
            audit: AuditLog { database: database.clone(), clock: Arc::clone(&clock) },
            chats,
            contexts,
            direct_messages,
            replies,
            usage: UsageReports { database: database.clone(), clock: Arc::clone(&clock) },
            models,
            max_message_length: limits.max_message_length as usize,
        };
        let api = Api::new(state.clone(), document_limits(&settings.limits, settings.server.introspection));
        let api = api.map_err(|cause| StartError::new("schema", cause))?;
        Ok(Self { api, state, clock, ids, boot, database, metrics, traces, work })
    }

    /// Prepares the database before serving.
    async fn prepare(&self, settings: &Settings, predecessor: Option<BootId>) -> Result<(), StartError> {
        let failed = |cause| refused("DATABASE_URL: cannot use the database", &cause);
        self.state.replies.recover(predecessor).await.map_err(failed)?;
        let Some(admin) = settings.auth.default_admin() else { return Ok(()) };
        let username = admin.username.clone();
        let created = self.state.accounts.create_default_admin(admin).await;
        if created.map_err(|cause| refused("DEFAULT_ADMIN", &cause))? {
            tracing::info!(username, "created the default admin");
        }
        Ok(())
    }

    /// Starts all tasks that run until shutdown.
    fn start(self, settings: &Settings, lifecycle: &Lifecycle, listener: TcpListener, tls: Option<Tls>) {
        let Self { api, state, clock, ids, boot: _, database, metrics, traces, work } = self;
        let (soft, hard) = (lifecycle.soft().clone(), lifecycle.hard().clone());
        // The journal runs until the end of the last reply is saved.
        let rest = CancellationToken::new();
        for (name, task) in state.replies.journal_tasks(rest.clone()) {
            lifecycle.spawn_vital(name, task);
        }
        for (name, task) in [
            (
                "WAL checkpoints",
                Box::pin(database.clone().checkpoint_wal_until(rest.clone())) as BoxFuture<'static, ()>,
            ),
            ("idle connections", Box::pin(database.clone().retire_connections_until(rest.clone()))),
            ("search index", Box::pin(jobs::index_until(state.search.clone(), rest.clone()))),
            (
                "jobs",
                Box::pin(jobs::run_until(
                    state.accounts.clone(),
                    state.characters.clone(),
                    state.chats.clone(),
                    state.direct_messages.clone(),
                    state.audit.clone(),
                    rest.clone(),
                )),
            ),
        ] {
            lifecycle.spawn_vital(name, task);
        }
        let limits = edge_limits(settings);
        let connections = Connections::new(&limits, settings.server.trusted_proxies.clone());
        let scrape = settings.metrics.metrics.then(|| Scrape {
            token: settings.metrics.metrics_token.clone(),
            measure: measure::measure(
                database.clone(),
                state.replies.clone(),
                state.accounts.clone(),
                connections.clone(),
            ),
        });
        let edge = Edge {
            executor: api,
            authenticate: authenticate(state.accounts),
            ready: ready(database, state.replies),
            tracker: work.clone(),
            draining: soft.clone(),
            metrics,
            traces,
            scrape,
            limits,
            playground: settings.server.playground,
            trusted_proxies: settings.server.trusted_proxies.clone(),
            origins: settings.origins(),
            is_tls: tls.is_some(),
            clock,
            ids,
        };
        let keep_alive = settings.limits.keep_alive();
        if let Some(tls) = &tls {
            lifecycle.spawn_vital("tls", tls.clone().reload_until(soft.clone()));
        }
        let close = CancellationToken::new();
        lifecycle.spawn_vital("http", async move {
            let serving = http::serve(listener, http::router(edge), tls, connections, keep_alive, close.clone(), hard);
            let serving = async {
                if let Err(cause) = serving.await {
                    tracing::error!(exception.message = &cause as &dyn std::error::Error, "serving failed");
                }
            };
            // The listener stays open while replies run, so that health checks and new requests get a response.
            let draining = async {
                soft.cancelled().await;
                work.close();
                work.wait().await;
                close.cancel();
                std::future::pending().await
            };
            tokio::select! {
                () = serving => {}
                () = draining => {}
            }
            // A request that arrived before the shutdown may have added work.
            work.close();
            work.wait().await;
            rest.cancel();
        });
    }
}

fn edge_limits(settings: &Settings) -> Limits {
    let (defaults, request_bytes) = (Limits::default(), settings.limits.max_request_bytes as usize);
    Limits {
        body: request_bytes,
        message: request_bytes,
        input: defaults.input.max(8 * request_bytes),
        input_per_address: defaults.input_per_address.max(2 * request_bytes),
        connections: settings.limits.max_connections as usize,
        connections_per_address: settings.limits.max_connections_per_address as usize,
        operation_timeout: settings.limits.operation_timeout(),
        fields_per_minute: settings.protection.rate_limit_per_minute,
        chat_fields_per_minute: settings.protection.chat_rate_limit_per_minute,
        ..defaults
    }
}

fn document_limits(settings: &LimitSettings, introspection: bool) -> document::Limits {
    let default = document::Limits::default();
    document::Limits {
        introspection: if introspection { default.introspection } else { 0 },
        tokens: settings.max_document_tokens as usize,
        depth: settings.max_document_depth as usize,
        aliases: settings.max_document_aliases as usize,
        root_fields: settings.max_document_root_fields as usize,
        complexity: settings.max_document_complexity.into(),
        ..default
    }
}

fn authenticate(accounts: Accounts) -> Authenticate {
    Arc::new(move |authorization, _client| {
        let accounts = accounts.clone();
        Box::pin(async move {
            match authorization {
                None => Requester::Anonymous,
                Some(authorization) => accounts.authenticate(Some(&authorization)).await,
            }
        })
    })
}

fn ready(database: Database, replies: Replies) -> Ready {
    Arc::new(move || {
        let (database, replies) = (database.clone(), replies.clone());
        Box::pin(async move {
            replies.is_ready()
                && tokio::time::timeout(READY_LIMIT, database.ping()).await.is_ok_and(|answer| answer.is_ok())
        })
    })
}
