//! When a counter reaches a goal.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// Polling interval.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until a counter reaches `goal`; returns the time.
///
/// # Errors
/// The counter fails, or makes no progress for `patience`.
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
        ensure!(moved.elapsed() < patience, "no progress at {count} of {goal}");
        sleep(LOOK);
    }
}
