//! When a counter reaches a goal.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// How often a counter is looked at.
const LOOK: Duration = Duration::from_millis(50);

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
