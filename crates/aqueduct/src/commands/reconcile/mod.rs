//! `aqueduct reconcile`: compares Kafka's offsets, the ledgers and the tables, and reports missing offsets and rows.
//!
//! See [`super::status`] for the progress of each component.

mod counted;
mod findings;
mod text;

#[cfg(test)]
pub(crate) mod tests;

use std::process::ExitCode;

use crate::{global::Global, grid::Format, runtime, survey::Places};

use findings::Findings;

/// The options of `reconcile`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Format of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: in a script, after the producers have stopped and the pipeline is idle
  aqueduct reconcile || echo 'something is missing'

Compares the offsets in Kafka with the offsets that the state and the ledger of each flow account for, and the rows in the tables with the rows that were sent. Exit code 0: nothing is missing. Exit code 1: something is missing, or a service could not be queried. The rows in a Pub/Sub topic cannot be compared; those that Pub/Sub has acknowledged are not missing. While the pipeline is running, events in flight are reported as missing.";

/// Number of retries if the processor advanced meanwhile.
const ATTEMPTS: usize = 3;

/// Surveys the pipeline, compares, and prints the findings.
///
/// # Errors
/// The configuration is invalid, or the state cannot be read.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let places = Places::read(&config)?;
    global.start_logging()?;
    let findings = runtime::run(|_| async move {
        let mut findings = Findings::of(&places.look().await?);
        for _ in 1..ATTEMPTS {
            // A window that changes during the comparison differs from its table for a moment.
            if findings.windows.iter().all(|window| window.differing == 0) {
                break;
            }
            findings = Findings::of(&places.look().await?);
        }
        Ok(findings)
    })?;
    args.format.print(&findings, text::of)?;
    Ok(if findings.nothing_missing { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
