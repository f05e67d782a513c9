//! Logs and panics, as text or JSON lines on standard error.
//!
//! `AQUEDUCT_LOG` sets the levels ([`crate::levels`]), which can be changed while the process runs. There is colour
//! only on a terminal, unless `NO_COLOR` is set. A panic is logged with its place but never with its message, because a
//! message (an index, an `expect` with a value) may quote data.
//! Tokio's `JoinError` quotes that message when it is displayed: log [`task_failure`] instead.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    io::IsTerminal as _,
    panic::PanicHookInfo,
};

use tokio::task::JoinError;
use tracing_subscriber::{
    Layer as _, Registry, fmt::MakeWriter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::{Levels, ServiceError};

/// The variable with the log levels.
pub const LOG_VARIABLE: &str = "AQUEDUCT_LOG";

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For humans.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Changes and reports the levels of a running process.
#[derive(Clone)]
pub struct LogLevels {
    own: &'static [&'static str],
    /// The levels at the start of the process.
    start: Levels,
    handle: reload::Handle<Levels, Registry>,
}

/// Sets up logging for the whole process. `own` are the crates to which a plain level applies; `writer` writes to standard
/// error, above a progress bar if there is one.
///
/// # Errors
/// `AQUEDUCT_LOG` is invalid, or logging was set up before.
pub fn init<W>(format: LogFormat, own: &'static [&'static str], writer: W) -> Result<LogLevels, ServiceError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let text = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let start = Levels::parse(&text, own)?;
    let (filter, handle) = reload::Layer::new(start.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(has_colour()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.try_init().map_err(|_| ServiceError::TelemetryInstalled)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(LogLevels { own, start, handle })
}

impl LogLevels {
    /// Sets the levels. Of libraries, nothing is logged that was not allowed at the start. Crates that use the `log`
    /// crate stay below the most verbose level that was set at the start.
    ///
    /// # Errors
    /// The text is invalid, or names a library.
    pub fn set(&self, text: &str) -> Result<(), ServiceError> {
        let levels = Levels::parse(text, self.own)?;
        if let Some(target) = levels.lifts_beyond(&self.start) {
            return Err(ServiceError::LevelsOfOthers { target: target.to_owned() });
        }
        self.handle.reload(levels).expect("the subscriber lives as long as the process");
        Ok(())
    }

    /// The levels, in the form that [`set`](Self::set) parses.
    pub fn text(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }
}

/// Whether lines on standard error are coloured: on a terminal, unless `NO_COLOR` is set.
fn has_colour() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && std::io::stderr().is_terminal()
}

/// How a task ended that did not return, without the message of its panic (which was logged with its place).
pub fn task_failure(error: &JoinError) -> &'static str {
    if error.is_panic() { "a task panicked" } else { "a task was cancelled" }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    // Honours RUST_BACKTRACE; a backtrace contains names of functions, no values.
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(
        at,
        thread,
        backtrace,
        action = "restart the process, and report the location and the version",
        "panic: this is a bug, please report its location; the message is withheld because it may quote data"
    );
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogLevels").field(&self.text()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_logged_without_its_message() {
        let task = tokio::spawn(async { std::future::pending::<()>().await });
        task.abort();
        assert_eq!(task_failure(&task.await.expect_err("aborted")), "a task was cancelled");
        let task = tokio::spawn(async { panic!("user-4711") });
        assert_eq!(task_failure(&task.await.expect_err("panicked")), "a task panicked");
    }
}
