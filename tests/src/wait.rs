//! Waits for conditions, never for a fixed time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time limit; a passing test needs a small part of it.
pub const LIMIT: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(25);

/// Polls until the result is `Some`. `what` is for the message at the time limit.
///
/// # Errors
/// The condition fails, or is not met within [`LIMIT`].
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

/// Polls until there is no error; at the time limit the last error is returned.
///
/// # Errors
/// The condition fails, or there is still an error after [`LIMIT`].
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
