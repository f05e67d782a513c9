//! `aqueduct check`: reports every error of the configuration, then tries every connection.
//!
//! The rules for a section are in the crate that reads it.

mod beam;
mod clocks;
mod connections;
mod registry;
mod sample;
mod schemas;
mod sections;

use std::{num::NonZeroU64, path::PathBuf, process::ExitCode};

use crate::{config::ConfigError, global::Global, grid::Format, memory, output::say, runtime};

use sections::Sections;

/// The options of `check`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Validate the configuration without connecting to any service
    #[arg(long)]
    offline: bool,
    /// Also report what another engine does not do with the configuration: engines/beam, on Flink or Dataflow
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// Read the newest N records of the Kafka topics and report, for every field, how often it occurs, what [anonymise]
    /// does to it, and whether a forwarded field looks like personal data. Values are not shown
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroU64>,
    /// Report the same for the first 10,000 events of a file, or as many as --sample allows: JSON lines or an Avro
    /// container file, plain, .gz or .zst; - is standard input
    #[arg(long, value_name = "FILE")]
    sample_file: Option<PathBuf>,
    /// Format of the report of --sample and --sample-file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Another program that computes the same flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    Beam,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: before a deployment, without access to the services, and then on the host
  aqueduct check --offline
  aqueduct check

For the data protection officer: what happens to every field of the newest 10,000 records
  aqueduct check --sample 10000
  aqueduct check --sample-file events.ndjson --format json

Prints every error of the configuration with its file, line and key, and exits with 2. If the configuration is valid, prints one line for each connection. A line that begins with FAILED names the next step, and the exit code is 1.";

/// Checks.
///
/// # Errors
/// The configuration is invalid.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    sample::check_usage(args)?;
    let (config, mut errors) = global.partial_config()?;
    let mut sections = Sections::read(&config, &mut errors);
    if args.offline {
        sections.check_keyring(&config, &mut errors);
    }
    if !errors.is_empty() {
        return Err(ConfigError(errors).into());
    }
    if args.sample.is_some() || args.sample_file.is_some() {
        return sample::run(args, &config, &sections);
    }
    say(format_args!("ok      {}: the configuration", config.settings().path().display()))?;
    let absent = sections.absent();
    if !absent.is_empty() {
        say(format_args!("skipped {} (not in the file)", absent.join(", ")))?;
    }
    for warning in &sections.warnings {
        say(format_args!("warning {warning}"))?;
    }
    if args.engine == Some(Engine::Beam) {
        for (key, text) in beam::refused(&sections, config.settings().has("writers")) {
            say(format_args!("beam    {}", config.settings().error_at(&key, text)))?;
        }
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
