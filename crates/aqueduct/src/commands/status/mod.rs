//! `aqueduct status`: the progress of every component, whether or not it is running.
//!
//! See [`super::reconcile`] for missing offsets and rows.

mod document;
mod text;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::{global::Global, grid::Format, runtime, survey::Places};

use document::Report;

/// The options of `status`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Format of the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: what holds back the watermark, and the lag for a script
  aqueduct status
  aqueduct status --format json | jq '[.partitions[].lag] | add'

Requires [events], [[flows]] and [state], and queries [kafka] and [writer] if they are configured. Reports the last checkpoint, whether the processor is running or not. Unreachable services are reported; the exit code is 1 only if the state cannot be read.";

/// Surveys the pipeline and prints the report.
///
/// # Errors
/// The configuration is invalid, or the state cannot be read.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let places = Places::read(&config)?;
    global.start_logging()?;
    let survey = runtime::run(|_| async move { places.look().await })?;
    let status = survey.status();
    let report =
        Report::of(&survey, &status).context("internal error: no status; this is a bug, please report it")?;
    args.format.print(&report, |report| text::of(report, status.at))?;
    Ok(ExitCode::SUCCESS)
}
