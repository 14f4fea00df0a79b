//! Processes on a core of their own: starting them, what they cost, and their end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use crate::Result;

/// The core of the server under test.
pub const SERVER_CORE: usize = 0;
/// The core of the load and of the provider.
pub const LOAD_CORE: usize = 1;

/// Ticks of `/proc/<pid>/stat` a second: `USER_HZ`, which Linux fixes at 100 for every architecture that Rust runs on here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that ends with this value.
pub struct Process(Child);

impl Process {
    /// Starts `program` on a core, with what it says in a file.
    pub fn start(
        core: usize,
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let mut command = if can_pin() {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let log = File::options().create(true).append(true).open(log)?;
        command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
        Ok(Self(command.stdout(log.try_clone()?).stderr(log).spawn()?))
    }

    /// The processor time that it has used, to 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name, in brackets, may hold anything; user and system time are fields 14 and 15, state after the name is 3.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// The memory that it holds for itself, in bytes: pages of files, which the system takes back as it likes, do not count.
    pub fn memory(&self) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line =
            rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).ok_or("smaps_rollup has no Anonymous")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether processes can be bound to cores here.
pub fn can_pin() -> bool {
    *CAN_PIN
}

/// Found out once, before this process has bound itself to one core.
static CAN_PIN: LazyLock<bool> = LazyLock::new(|| {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
});

/// Binds this process, threads to come included.
pub fn pin_self(core: usize) -> Result<()> {
    let arguments = ["-cp", &core.to_string(), &std::process::id().to_string()].map(str::to_owned);
    Command::new("taskset").args(arguments).stdout(Stdio::null()).status()?;
    Ok(())
}
