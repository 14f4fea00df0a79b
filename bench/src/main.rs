//! The load benchmark: duologue compared to a raw axum + rusqlite server.
//!
//! `make bench` builds the server, runs the workloads (`make bench WORKLOADS="W1 W4"` for some of them) and prints a
//! table. The server runs on one core, the load generator and the provider on another. `--server FILE` measures an
//! existing binary.

#![expect(clippy::disallowed_methods, reason = "a benchmark has the time of day, and its tasks end with it")]

mod bed;
mod fill;
mod http;
mod process;
mod provider;
mod raw;
mod relays;
mod requests;
mod sends;
mod streams;
mod table;
mod trees;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::bed::Bed;

/// The same allocator for all processes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The error of a run.
type Failure = Box<dyn Error + Send + Sync>;
type Result<T, E = Failure> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            let _ = writeln!(io::stderr(), "bench: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["provider", port] => on_all_cores()?.block_on(provider::serve(port.parse()?)),
        ["raw", port, database, provider] => {
            on_all_cores()?.block_on(raw::serve(port.parse()?, database.as_ref(), provider))
        }
        ["--server", server, ref workloads @ ..] => measure(server.into(), workloads),
        ref workloads => measure(build()?, workloads),
    }
}

/// Like the server's runtime: one thread per available core.
fn on_all_cores() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Builds the server in release mode, beside this binary.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(["build", "--release", "--package", "duologue", "--bin", "duologue"]).status()?;
    if !status.success() {
        return Err("the server does not build".into());
    }
    Ok(std::env::current_exe()?.with_file_name("duologue"))
}

fn measure(server: PathBuf, workloads: &[&str]) -> Result<()> {
    if process::can_pin() {
        process::pin_self(process::LOAD_CORE)?;
    } else {
        writeln!(io::stderr(), "bench: no second core or no taskset: all processes share the available cores")?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let say = |what: &str| writeln!(io::stderr(), "bench: {what}");
        say("filling the database")?;
        let bed = Bed::make(&server).await?;
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for name in ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9"] {
            if !workloads.is_empty() && !workloads.contains(&name) {
                continue;
            }
            say(name)?;
            let measured = match name {
                "W1" => requests::w1(&bed).await,
                "W2" => requests::w2(&bed).await,
                "W3" => relays::w3(&bed).await,
                "W4" => relays::w4(&bed).await,
                "W5" => relays::w5(&bed).await,
                "W6" => relays::w6(&bed).await,
                "W7" => requests::w7(&bed).await,
                "W8" => sends::w8(&bed).await,
                _ => trees::w9(&bed).await,
            };
            match measured {
                Ok(measured) => rows.extend(measured),
                Err(cause) => failures.push(format!("{name}: {cause}")),
            }
        }
        table::print(&rows)?;
        // Results are printed even if some workloads failed.
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    })
}
