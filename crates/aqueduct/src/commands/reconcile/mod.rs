//! `aqueduct reconcile`: compares Kafka's offsets, the ledgers and the tables, and reports missing offsets and rows.
//!
//! See [`super::status`] for the progress of each component.

mod beam;
mod counted;
mod findings;
mod text;

#[cfg(test)]
pub(crate) mod tests;

use std::{path::PathBuf, process::ExitCode};

use super::check::Engine;
use crate::{
    config::Config,
    global::Global,
    grid::Format,
    runtime,
    survey::{Places, beam::Places as BeamPlaces},
};

use findings::Findings;

/// The options of `reconcile`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare what another engine has counted: engines/beam, over a stream
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Engine>,
    /// The folder of that engine's --output, instead of the tables of [writer]
    #[arg(long, value_name = "FOLDER", requires = "engine")]
    rows: Option<PathBuf>,
    /// Format of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: in a script, after the producers have stopped and the pipeline is idle
  aqueduct reconcile || echo 'something is missing'

Of a pipeline of engines/beam, which writes to BigQuery or to files
  aqueduct reconcile --engine beam
  aqueduct reconcile --engine beam --rows /var/lib/aqueduct/output

Compares the offsets in Kafka with the offsets that the state and the ledger of each flow account for, and the rows in the tables with the rows that were sent. Exit code 0: nothing is missing. Exit code 1: something is missing, or a service could not be queried. The rows in a Pub/Sub topic cannot be compared; those that Pub/Sub has acknowledged are not missing. While the pipeline is running, events in flight are reported as missing.

With --engine beam, the newest rows of <flow>_progress take the place of the state, which this engine does not share: the values in the rows are not compared. It writes one a minute.";

/// Number of retries if the processor advanced meanwhile.
const ATTEMPTS: usize = 3;

/// Surveys the pipeline, compares, and prints the findings.
///
/// # Errors
/// The configuration is invalid, or the state cannot be read.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let findings = match args.engine {
        Some(Engine::Beam) => {
            let places = BeamPlaces::read(&config, args.rows.clone())?;
            global.start_logging()?;
            runtime::run(|_| async move { Ok(beam::findings(&places.look().await)) })?
        }
        None => of_processor(&config, global)?,
    };
    args.format.print(&findings, text::of)?;
    Ok(if findings.nothing_missing { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_processor(config: &Config, global: &Global) -> anyhow::Result<Findings> {
    let places = Places::read(config)?;
    global.start_logging()?;
    runtime::run(|_| async move {
        let mut findings = Findings::of(&places.look().await?);
        for _ in 1..ATTEMPTS {
            // A window that changes during the comparison differs from its table for a moment.
            if findings.windows.iter().all(|window| window.differing == 0) {
                break;
            }
            findings = Findings::of(&places.look().await?);
        }
        Ok(findings)
    })
}
