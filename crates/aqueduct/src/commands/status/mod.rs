//! `aqueduct status`: how far everything is, whether or not anything runs.
//!
//! Not here: whether anything is missing ([`super::reconcile`]).

mod report;
mod text;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{cli::Global, config::Config, grid::Format, output::mark_closed, runtime, survey::Places};

use report::Report;

/// What `status` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub const EXAMPLE: &str = "\
Example: what holds the watermark, for people, and the lag, for a script
  aqueduct status
  aqueduct status --format json | jq '[.partitions[].lag] | add'

Needs [events], [[flows]] and [state]; asks [kafka] and [writer] where they are configured. Works while the processor
runs, as of its last checkpoint, and while it does not. What cannot be reached says so; the exit code is 1 only when
the state cannot be read.";

/// Looks, and tells.
///
/// # Errors
/// The configuration is wrong, or the state cannot be read.
pub fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = Config::open(global)?;
    let places = Places::read(&config)?;
    global.start_logging()?;
    let survey = runtime::run(|_| async move { places.look().await })?;
    let report = Report::of(&survey);
    let text = match args.format {
        Format::Text => text::of(&report),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    io::stdout().write_all(text.as_bytes()).map_err(mark_closed)?;
    Ok(ExitCode::SUCCESS)
}
