//! Processes pinned to a core: start, resource usage and end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use crate::Result;

/// The core of the server.
pub const SERVER_CORE: usize = 0;
/// The core of the load generator and the provider.
pub const LOAD_CORE: usize = 1;

/// Ticks per second in `/proc/<pid>/stat`: `USER_HZ`, which is 100 on all Linux architectures that Rust supports here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is killed on drop.
pub struct Process(Child);

impl Process {
    /// Starts `program` on a core, with its output in a file.
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

    /// The CPU time that it has used, to 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name in brackets may contain anything; user and system time are fields 14 and 15, the state after the
        // name is field 3.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// Its private memory, in bytes, without file pages, which the system can reclaim.
    pub fn memory(&self) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line =
            rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).ok_or("smaps_rollup has no Anonymous")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether processes can be pinned to cores.
pub fn can_pin() -> bool {
    *CAN_PIN
}

/// Determined once, before this process is pinned.
static CAN_PIN: LazyLock<bool> = LazyLock::new(|| {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
});

/// Pins this process, including future threads.
pub fn pin_self(core: usize) -> Result<()> {
    let arguments = ["-cp", &core.to_string(), &std::process::id().to_string()].map(str::to_owned);
    Command::new("taskset").args(arguments).stdout(Stdio::null()).status()?;
    Ok(())
}
