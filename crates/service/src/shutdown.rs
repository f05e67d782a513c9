//! SIGTERM and Ctrl-C as a cancellation token.
//!
//! The first signal asks the program to finish the work in flight; the second one ends it at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal: 128 + SIGINT.
pub const IMPATIENT_EXIT_CODE: i32 = 130;

/// A token that is cancelled by the first SIGTERM or Ctrl-C; the second exits the process with code 130.
///
/// No signal is missed once this function has returned. Its task waits for signals until the process or its runtime
/// ends, and holds nothing that has to be drained. Call it once, within a Tokio runtime.
///
/// # Errors
/// If the operating system refuses the handlers.
pub fn token() -> io::Result<CancellationToken> {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!(
            signal = name,
            "shutting down: finishing work in flight; a second signal exits immediately"
        );
        cancelled.cancel();
        let name = signals.next().await;
        tracing::warn!(
            signal = name,
            action = "to avoid repeated work, send one signal and wait",
            "exited immediately: unfinished work will be repeated at the next start"
        );
        std::process::exit(IMPATIENT_EXIT_CODE);
    });
    Ok(token)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
