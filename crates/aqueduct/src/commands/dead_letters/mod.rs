//! `aqueduct dead-letters`: lists rejected records, and publishes them again.
//!
//! What may be redriven is in the processor's state ([`processor::rejected`]), with the flows that rejected it; the table
//! `dead_letters` adds stage, reason, pointer and time.

mod filter;
mod list;
mod progress;
mod queue;
mod redrive;
mod tally;

use std::process::ExitCode;

use crate::global::Global;

/// The options of `dead-letters`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// List rejected records by topic, partition and offset, with the flows that still reject them
    #[command(after_long_help = list::EXAMPLE)]
    List(list::Args),
    /// Read rejected records from Kafka again, and publish those that pass under the present configuration
    #[command(after_long_help = redrive::EXAMPLE)]
    Redrive(redrive::Args),
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: the connector rejected events, because [anonymise] named a wrong pointer; it has been corrected
  aqueduct dead-letters list --reason unexpected-shape
  aqueduct dead-letters redrive --reason unexpected-shape --dry-run
  aqueduct dead-letters redrive --reason unexpected-shape

No part of a record is printed.";

/// Runs the action.
///
/// # Errors
/// The configuration is invalid, or a service that is needed does not answer.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List(args) => list::run(args, global),
        Action::Redrive(args) => redrive::run(args, global),
    }
}
