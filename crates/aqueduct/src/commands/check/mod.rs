//! `aqueduct check`: reports every error of the configuration, then tries every connection.
//!
//! The rules for a section are in the crate that reads it.

mod clocks;
mod connections;
mod registry;
mod sample;
mod schemas;
mod sections;

use std::{
    fmt::Display,
    io::{self, Write as _},
    num::NonZeroU64,
    path::PathBuf,
    process::ExitCode,
};

use crate::{config::ConfigError, global::Global, grid::Format, memory, output::mark_closed, runtime};

use sections::Sections;

/// The options of `check`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Validate the configuration only, without connections
    #[arg(long)]
    offline: bool,
    /// Read the newest N records of the topics and report for every field how often it occurs, how it is processed, and
    /// whether a forwarded field looks like personal data. Does not show values
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroU64>,
    /// Report the same for the first N lines of a file (NDJSON, plain, .gz or .zst; - is standard input); N is 10000
    /// without --sample
    #[arg(long, value_name = "FILE")]
    sample_file: Option<PathBuf>,
    /// Format of the sample report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: before a deployment, without access to the services, and then on the host
  aqueduct check --offline
  aqueduct check

Report how every field of the last 10,000 records is processed, for the data protection officer
  aqueduct check --sample 10000
  aqueduct check --sample-file events.ndjson --format json

Reports every configuration error with file, line and key, and exits with 2. For each failed connection, prints a line that starts with FAILED and names the next step, and exits with 1.";

/// Checks.
///
/// # Errors
/// The configuration is invalid.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    sample::check_usage(args)?;
    let config = global.config()?;
    let mut errors = Vec::new();
    let sections = Sections::read(&config, &mut errors);
    if !errors.is_empty() {
        return Err(ConfigError(errors).into());
    }
    if args.sample.is_some() || args.sample_file.is_some() {
        return sample::run(args, &config, &sections);
    }
    say(format_args!("ok      {}: the configuration", config.settings().path().display()))?;
    let absent = sections.absent();
    if !absent.is_empty() {
        say(format_args!("-       not configured: {}", absent.join(", ")))?;
    }
    for warning in &sections.warnings {
        say(format_args!("warning {warning}"))?;
    }
    for estimate in memory::estimates(&sections.flows, sections.state.memory) {
        say(format_args!("memory  {estimate}"))?;
    }
    if args.offline {
        return Ok(ExitCode::SUCCESS);
    }
    let all_good = runtime::run(async |shutdown| connections::check(&config, &sections, &shutdown).await)?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line on standard output.
fn say(line: impl Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}").map_err(mark_closed)?)
}
