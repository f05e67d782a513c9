//! Metrics that every process exports: its version, its start time, and its memory.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::metrics::{Described, Metrics};

/// The version and command of the process; always 1.
pub const BUILD: Described = Described::gauge(
    "aqueduct_build",
    "",
    &["version", "command"],
    "Always 1; version and command are labels",
);
/// The start time of the process.
pub const STARTED: Described =
    Described::gauge("process_start_time_seconds", "seconds since 1970", &[], "Start time of the process");
/// The resident memory of the process.
pub const MEMORY: Described =
    Described::gauge("process_resident_memory_bytes", "bytes", &[], "Resident memory of the process");

/// All metrics of this module.
pub const ALL: [Described; 3] = [BUILD, STARTED, MEMORY];

/// Registers all of them in a registry.
pub fn show(metrics: &Metrics, version: &'static str, command: &'static str) {
    let labels = vec![("version", version.to_owned()), ("command", command.to_owned())];
    metrics.measured(&BUILD, move || vec![(labels.clone(), 1.0)]);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.float_gauge(&STARTED).set(started.as_secs_f64());
    metrics.measured(&MEMORY, || resident_bytes().map_or_else(Vec::new, |bytes| vec![(Vec::new(), bytes)]));
}

/// Resident memory according to the kernel; `None` on systems without `/proc`.
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
    fn process_metrics_are_exposed() {
        let metrics = Metrics::default();
        show(&metrics, "1.2.3", "connector");
        let page = metrics.encode().expect("text");
        assert!(page.contains("aqueduct_build{version=\"1.2.3\",command=\"connector\"} 1"), "{page}");
        let memory = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let memory: f64 = memory.expect("Linux reports it").parse().expect("a number");
        assert!(memory > 100_000.0, "{memory}");
    }
}
