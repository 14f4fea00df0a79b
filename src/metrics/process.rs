//! The resources of this process, under the names that Prometheus clients share
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). Nothing is written where `/proc`
//! does not exist.

use std::fs;

use super::Text;

/// Ticks per second in `/proc/self/stat`: `USER_HZ`, which is 100 on all Linux architectures that Rust supports.
const TICKS: f64 = 100.0;

/// Writes the metrics of this process.
pub fn write(text: &mut Text) {
    let Some(stat) = Stat::read() else { return };
    text.head("process_cpu_seconds_total", "counter", "CPU time of the process.");
    text.sample("process_cpu_seconds_total", &[], stat.cpu_seconds);
    text.gauge("process_resident_memory_bytes", "Resident memory.", &[], stat.resident_bytes);
    text.gauge("process_virtual_memory_bytes", "Virtual memory.", &[], stat.virtual_bytes);
    if let Some(start) = stat.start_seconds {
        text.gauge("process_start_time_seconds", "Start of the process since the Unix epoch.", &[], start);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Open file descriptors.", &[], open.count());
    }
    if let Some(max) = max_fds() {
        text.gauge("process_max_fds", "Limit of file descriptors.", &[], max);
    }
}

/// Values of `/proc/self/stat` and `/proc/self/status` (proc(5)).
struct Stat {
    cpu_seconds: f64,
    start_seconds: Option<f64>,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in brackets may contain spaces. The state after it is field 3.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let boot = fs::read_to_string("/proc/stat").ok();
        let boot = boot.as_deref().and_then(|stat| stat.lines().find_map(|line| line.strip_prefix("btime ")));
        let boot = boot.and_then(|seconds| seconds.trim().parse::<f64>().ok());
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |name: &str| -> Option<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
        };
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            start_seconds: boot.zip(field(22)).map(|(boot, start)| boot + start / TICKS),
            virtual_bytes: bytes("VmSize:")?,
            resident_bytes: bytes("VmRSS:")?,
        })
    }
}

fn max_fds() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
