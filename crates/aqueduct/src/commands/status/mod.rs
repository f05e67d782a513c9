//! `aqueduct status`: the progress of every component, whether or not it is running.
//!
//! See [`super::reconcile`] for missing offsets and rows.

mod beam;
mod document;
mod text;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use super::check::Engine;
use crate::{
    global::Global,
    grid::Format,
    runtime,
    survey::{Places, beam::Places as BeamPlaces},
};

use document::Report;

/// The options of `status`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Report the progress of another engine: engines/beam, over a stream
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// The folder of that engine's --output, instead of the tables of [writer]
    #[arg(long, value_name = "FOLDER", requires = "engine")]
    rows: Option<PathBuf>,
    /// Format of the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: what holds back the watermark, and the lag for a script
  aqueduct status
  aqueduct status --format json | jq '[.partitions[].lag] | add'

Requires [events], [[flows]] and [state], and queries [kafka] and [writer] if they are configured. Reports the last checkpoint, whether the processor is running or not. Unreachable services are reported; the exit code is 1 only if the state cannot be read.

With --engine beam, reports the newest row of <flow>_progress of each flow instead, and how far Kafka's logs are ahead of it. This engine writes one a minute.";

/// Surveys the pipeline and prints the report.
///
/// # Errors
/// The configuration is invalid, or the state cannot be read.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    if args.engine == Some(Engine::Beam) {
        let places = BeamPlaces::read(&config, args.rows.clone())?;
        global.start_logging()?;
        let survey = runtime::run(|_| async move { Ok(places.look().await) })?;
        args.format.print(&beam::report(&survey), |report| beam::of(report, survey.at))?;
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places::read(&config)?;
    global.start_logging()?;
    let survey = runtime::run(|_| async move { places.look().await })?;
    let status = survey.status();
    let report =
        Report::of(&survey, &status).context("internal error: no status; this is a bug, please report it")?;
    args.format.print(&report, |report| text::of(report, status.at))?;
    Ok(ExitCode::SUCCESS)
}
