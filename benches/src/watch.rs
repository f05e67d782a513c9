//! What a process costs, as Linux accounts it, and when a counter reaches a goal.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// How often a counter is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Linux counts a process's time in hundredths of a second.
const TICKS: f64 = 100.0;

/// When a counter reached `goal`.
///
/// # Errors
/// The counter fails, or stands still for longer than `patience`.
pub fn until(goal: u64, patience: Duration, mut counter: impl FnMut() -> Result<u64>) -> Result<Instant> {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let count = counter()?;
        if count >= goal {
            return Ok(Instant::now());
        }
        if count != last {
            (last, moved) = (count, Instant::now());
        }
        ensure!(moved.elapsed() < patience, "stood still at {count} of {goal}");
        sleep(LOOK);
    }
}

/// User and system time of a process (a pid, or `self`) so far, in seconds.
///
/// # Errors
/// This is no Linux, or the process is gone.
pub fn cpu(pid: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("this bench runs on Linux")?;
    // Behind the name, which may hold anything: state is field 3, user time 14, system time 15.
    let (_, fields) = stat.rsplit_once(')').context("the name stands in brackets")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

/// The most memory that a process ever held, in MB.
///
/// # Errors
/// As [`cpu`].
pub fn peak(pid: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux tells the peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
