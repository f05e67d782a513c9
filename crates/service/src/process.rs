//! What every process tells of itself: which version it is, since when it runs, how much memory it takes.
//!
//! Not here: what it works on.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::metrics::{Described, Metrics};

/// Which program this is; always 1.
pub const BUILD: Described =
    Described::gauge("aqueduct_build", "", &["version", "command"], "Always 1; its labels say what runs");
/// When the process began.
pub const STARTED: Described = Described::gauge(
    "process_start_time_seconds",
    "seconds since 1970",
    &[],
    "When the process began; counters begin at 0 then",
);
/// The memory that the process takes.
pub const MEMORY: Described =
    Described::gauge("process_resident_memory_bytes", "bytes", &[], "Memory that the process takes now");

/// All of them.
pub const ALL: [Described; 3] = [BUILD, STARTED, MEMORY];

/// Registers all of them.
pub fn show(metrics: &Metrics, version: &'static str, command: &'static str) {
    let labels = vec![("version", version.to_owned()), ("command", command.to_owned())];
    metrics.measured(&BUILD, move || vec![(labels.clone(), 1.0)]);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.float_gauge(&STARTED).set(started.as_secs_f64());
    metrics.measured(&MEMORY, || resident_bytes().map_or_else(Vec::new, |bytes| vec![(Vec::new(), bytes)]));
}

/// What the kernel counts for this process; nothing where it does not tell in this way.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_what_it_is() {
        let metrics = Metrics::default();
        show(&metrics, "1.2.3", "connector");
        let page = metrics.encode().expect("text");
        assert!(page.contains("aqueduct_build{version=\"1.2.3\",command=\"connector\"} 1"), "{page}");
        let memory = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let memory: f64 = memory.expect("Linux tells").parse().expect("a number");
        assert!(memory > 100_000.0, "{memory}");
    }
}
