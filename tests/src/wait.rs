//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take; a test that works needs a small part of it.
pub const LIMIT: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(25);

/// Asks until the answer is something. `what` is for the message when the limit passes.
///
/// # Errors
/// The condition fails, or does not come true within [`LIMIT`].
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        if started.elapsed() > LIMIT {
            bail!("waited {} s in vain for {what}", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks until nothing is wrong; the last complaint is the error when the limit passes.
///
/// # Errors
/// The question fails, or there is a complaint after [`LIMIT`] too.
pub fn until_right(what: &str, mut complaint: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let started = Instant::now();
    while let Some(complaint) = complaint()? {
        if started.elapsed() > LIMIT {
            bail!("waited {} s in vain for {what}: {complaint}", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
