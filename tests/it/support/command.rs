//! The binary as an operator runs it: exit codes, output, and one line for an error.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command that does not serve takes less time, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// The user `nobody`: permissions do not restrict root, as which CI runs.
const NOBODY: u32 = 65_534;

pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The only line on standard error, which reports the error.
    pub(crate) fn complaint(&self) -> &str {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("duologue: ").unwrap().trim_end()
    }
}

/// Runs the binary in a folder, with only these variables and this standard input.
pub(crate) fn duologue(folder: &Path, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Outcome {
    finish(command(folder, arguments, variables), input)
}

/// The same without the rights of root.
pub(crate) fn duologue_as_nobody(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = command(folder, arguments, variables);
    if is_root() {
        command.uid(NOBODY);
    }
    finish(command, "")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duologue"));
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied());
    command
}

fn finish(mut command: Command, input: &str) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // A command without input may have ended before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    // Read while it runs: a pipe holds 64 KiB, and a command waits until its output is read.
    let (stdout, stderr) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    Outcome { code, stdout, stderr }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}
