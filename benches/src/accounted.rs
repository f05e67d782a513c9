//! Time and memory of a process, as Linux accounts for them.
//!
//! A process is named by its id, or by `self`.

use std::fs;

use anyhow::{Context as _, Result};

/// Linux counts a process's time in hundredths of a second.
const TICKS: f64 = 100.0;

/// User and system time of all its threads so far, in seconds.
///
/// # Errors
/// The system is not Linux, or the process has exited.
pub fn cpu(pid: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("this bench runs on Linux")?;
    // After the name, which may contain anything: state is field 3, user time 14, system time 15.
    let (_, fields) = stat.rsplit_once(')').context("the name is in parentheses")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

/// Its peak memory in MB.
///
/// # Errors
/// As [`cpu`].
pub fn peak(pid: &str) -> Result<f64> {
    megabytes(pid, "VmHWM:")
}

/// Its current memory in MB.
///
/// # Errors
/// As [`cpu`].
pub fn resident(pid: &str) -> Result<f64> {
    megabytes(pid, "VmRSS:")
}

fn megabytes(pid: &str, what: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("this bench runs on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("Linux reports the memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
