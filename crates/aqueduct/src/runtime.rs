//! Threads and signals of a command.

use std::future::Future;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Runs a command of many tasks; the token is cancelled by SIGTERM or Ctrl-C.
///
/// # Errors
/// No threads or signal handlers can be had, or the command fails.
pub fn run<T, F>(command: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = build(Builder::new_multi_thread())?;
    let shutdown = token(&runtime)?;
    runtime.block_on(command(shutdown))
}

/// Runs a command that works on this thread and looks at the token now and then.
///
/// # Errors
/// As [`run`].
pub fn run_blocking<T>(command: impl FnOnce(CancellationToken) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1);
    let runtime = build(builder)?;
    command(token(&runtime)?)
}

fn build(mut builder: Builder) -> anyhow::Result<Runtime> {
    builder.enable_all().build().context("cannot start threads; raise the limit of processes (ulimit -u)")
}

fn token(runtime: &Runtime) -> anyhow::Result<CancellationToken> {
    let _guard = runtime.enter();
    service::shutdown::token().context("cannot listen for SIGTERM and Ctrl-C")
}
