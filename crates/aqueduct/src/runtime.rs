//! Threads and signals of a command.

use std::future::Future;

use anyhow::{Context as _, anyhow};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinError,
};
use tokio_util::sync::CancellationToken;

/// Runs an async command; the token is cancelled by SIGTERM or Ctrl-C.
///
/// # Errors
/// The runtime or the signal handlers cannot be created, or the command fails.
pub(crate) fn run<T, F>(command: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = build(Builder::new_multi_thread())?;
    let shutdown = token(&runtime)?;
    runtime.block_on(command(shutdown))
}

/// Runs a blocking command on this thread, which polls the token.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_blocking<T>(
    command: impl FnOnce(CancellationToken) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1);
    let runtime = build(builder)?;
    let shutdown = token(&runtime)?;
    // What the command waits for may be a future.
    let _guard = runtime.enter();
    command(shutdown)
}

/// For long-running commands. The allocator requests huge pages, and keeps each that is partly used: at a steady rate a
/// processor has several times the memory with them, and no less processor time (`docs/performance.md`).
pub(crate) fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "cannot disable transparent huge pages");
    }
}

/// Returns the result of a task. A panic was logged with its location; its message may quote data and is left
/// out.
///
/// # Errors
/// The task panicked.
pub(crate) fn joined<T>(task: &str, ended: Result<T, JoinError>) -> anyhow::Result<T> {
    ended.map_err(|_| anyhow!("internal error: {task} panicked; this is a bug, please report it"))
}

fn build(mut builder: Builder) -> anyhow::Result<Runtime> {
    builder
        .enable_all()
        .build()
        .context("cannot start the runtime; raise the limit of open files (ulimit -n)")
}

fn token(runtime: &Runtime) -> anyhow::Result<CancellationToken> {
    let _guard = runtime.enter();
    service::shutdown::token().context("cannot listen for SIGTERM and Ctrl-C")
}

#[cfg(test)]
mod tests {
    use crate::errors;

    use super::*;

    #[tokio::test]
    async fn a_panic_message_is_not_printed() {
        let ended = tokio::task::spawn_blocking(|| -> u32 { panic!("user-4711") }).await;
        let error = joined("the replay", ended).expect_err("a panic");
        assert_eq!(
            errors::one_line(error.as_ref()),
            "internal error: the replay panicked; this is a bug, please report it"
        );
        assert_eq!(joined("the replay", tokio::spawn(async { 7 }).await).expect("no panic"), 7);
    }
}
