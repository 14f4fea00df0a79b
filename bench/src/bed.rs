//! The test environment: a folder with the databases, the provider, and the two servers, which are restarted for each
//! workload.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::Result;
use crate::fill::{self, User};
use crate::http::{Http, post};
use crate::process::{LOAD_CORE, Process, SERVER_CORE};
use crate::streams::{Source, model_id};

/// The password of all users.
pub const PASSWORD: &str = "seven sailors sold silver spoons";
const SECRET: &str = "a secret of more than 32 bytes for the benchmark alone";
/// Maximum time until a process listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The number of users that share the streams.
const STREAM_USERS: usize = 32;

/// The provider's plans, which the server needs as models.
pub const PLANS: [&str; 5] =
    ["rate=50 tokens=50", "rate=0 tokens=4000", "rate=20 tokens=400", "rate=20 tokens=1 stall=1", "rate=0 tokens=32"];

/// The test environment.
pub struct Bed {
    folder: TempDir,
    server: PathBuf,
    provider_port: u16,
    _provider: Process,
    /// The users of the filled database.
    pub users: Vec<User>,
}

/// A running server.
pub struct Server {
    /// The process, for its resource usage.
    pub process: Process,
    /// The port it listens on.
    pub port: u16,
}

impl Bed {
    /// Creates the databases. `server` is the binary to measure.
    pub async fn make(server: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider_port = free_port()?;
        let port = provider_port.to_string();
        let log = folder.path().join("provider.log");
        let provider = Process::start(LOAD_CORE, &std::env::current_exe()?, &["provider", &port], &[], &log)?;
        listening(provider_port, &log).await?;
        write_models(folder.path(), provider_port)?;
        let mut bed = Self { folder, server: server.to_owned(), provider_port, _provider: provider, users: Vec::new() };
        let template = bed.template().await?;
        fill::fill(&bed.path("duologue.db"))?;
        std::fs::copy(bed.path("duologue.db"), bed.path("raw.db"))?;
        bed.users = fill::users(&template, SECRET)?;
        Ok(bed)
    }

    /// Lets the server create the rows to copy; returns an access token.
    async fn template(&self) -> Result<String> {
        let server = self.duologue().await?;
        let mut http = Http::connect(server.port).await?;
        let register = format!(
            r#"{{"query":"mutation{{register(input:{{username:\"template\",email:\"template@example.org\",password:\"{PASSWORD}\"}}){{accessToken}}}}"}}"#
        );
        let answer: Value = serde_json::from_str(http.send(&post("/graphql", None, &register)).await?)?;
        let token = answer["data"]["register"]["accessToken"].as_str().ok_or("no token")?.to_owned();
        let source = Source::Duologue { port: server.port, tokens: Arc::new([token.clone()]) };
        let mut reader = crate::streams::Reader::open(&source, 0).await?;
        reader.begin(PLANS[4]).await?;
        while reader.next().await?.is_some() {}
        Ok(token)
    }

    /// Starts duologue.
    pub async fn duologue(&self) -> Result<Server> {
        self.start(&[]).await
    }

    /// Starts duologue on another database.
    pub async fn duologue_on(&self, database: &str) -> Result<Server> {
        self.start(&[("DATABASE_URL", database)]).await
    }

    async fn start(&self, more: &[(&str, &str)]) -> Result<Server> {
        let port = free_port()?;
        let text = port.to_string();
        let folder = self.folder.path().display().to_string();
        let models = self.path("models.toml").display().to_string();
        let mut variables = vec![
            ("PORT", text.as_str()),
            ("DATA_DIR", &folder),
            ("MODELS_FILE", &models),
            ("JWT_SECRET", SECRET),
            ("RATE_LIMIT_PER_MINUTE", "0"),
            ("CHAT_RATE_LIMIT_PER_MINUTE", "0"),
            ("LOGIN_LOCKOUT_ATTEMPTS", "0"),
            ("MAX_REPLIES_PER_USER", "1000"),
            ("MAX_REPLIES", "5000"),
            ("MAX_CONNECTIONS_PER_ADDRESS", "20000"),
        ];
        variables.extend(more);
        let log = self.path("duologue.log");
        let process = Process::start(SERVER_CORE, &self.server, &[], &variables, &log)?;
        listening(port, &log).await?;
        Ok(Server { process, port })
    }

    /// Starts the raw server.
    pub async fn raw(&self) -> Result<Server> {
        let port = free_port()?;
        let database = self.path("raw.db").display().to_string();
        let provider = format!("http://127.0.0.1:{}/v1/chat/completions", self.provider_port);
        let (log, text) = (self.path("raw.log"), port.to_string());
        let arguments = ["raw", &text, &database, &provider];
        let process = Process::start(SERVER_CORE, &std::env::current_exe()?, &arguments, &[], &log)?;
        listening(port, &log).await?;
        Ok(Server { process, port })
    }

    /// Streams of this server, shared by some users.
    pub fn source(&self, server: &Server) -> Source {
        let tokens = self.users.iter().take(STREAM_USERS).map(|user| user.token.clone()).collect();
        Source::Duologue { port: server.port, tokens }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn write_models(folder: &Path, provider_port: u16) -> Result<()> {
    let mut text = format!(
        "[[providers]]\nname = \"bench\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{provider_port}/v1\"\n"
    );
    for plan in PLANS {
        let id = model_id(plan);
        text.push_str(&format!(
            "\n[[models]]\nid = \"{id}\"\nprovider = \"bench\"\nupstream = \"{plan}\"\ncontext_window = 8192\nmax_output_tokens = 4096\n"
        ));
    }
    Ok(std::fs::write(folder.join("models.toml"), text)?)
}

/// Returns a free port.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

async fn listening(port: u16, log: &Path) -> Result<()> {
    let start = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if start.elapsed() > START_LIMIT {
            return Err(format!("the process does not listen; its log: {}", std::fs::read_to_string(log)?).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
