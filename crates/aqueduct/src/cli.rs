//! The command line: the list of commands. The options of a command are in its own module ([`crate::commands`]).

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{commands, global::Global};

/// Stream events from Kafka to Pub/Sub with personal data pseudonymised, and compute windowed metrics in BigQuery
///
/// The connector publishes events from Kafka to Google Cloud Pub/Sub and pseudonymises personal data on the way. The
/// processor computes metrics over time windows, such as the click-through rate of each page in the last ten minutes,
/// and writes them to BigQuery, SQLite or Pub/Sub.
#[derive(Debug, Parser)]
#[command(
    name = "aqueduct",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline in one process on generated traffic; needs no services
    #[command(after_long_help = commands::demo::EXAMPLE)]
    Demo(commands::demo::Args),
    /// Publish events from Kafka to Pub/Sub, pseudonymised, until stopped
    #[command(after_long_help = commands::connector::EXAMPLE)]
    Connector(commands::connector::Args),
    /// Run Kafka Connect's configurations of Google's Pub/Sub sink, and serve Connect's REST interface, until stopped
    #[command(after_long_help = commands::connect::EXAMPLE)]
    Connect(commands::connect::Args),
    /// Compute the flows over the events in Pub/Sub, and write rows to BigQuery, SQLite or Pub/Sub, until stopped
    #[command(after_long_help = commands::processor::EXAMPLE)]
    Processor(commands::processor::Args),
    /// Compute the flows over files or over a time range of the Kafka topics
    #[command(after_long_help = commands::replay::EXAMPLE)]
    Replay(commands::replay::Args),
    /// Run flow tests: given events, expected rows
    #[command(after_long_help = commands::test::EXAMPLE)]
    Test(commands::test::Args),
    /// Pseudonymise NDJSON from standard input as the connector does
    #[command(after_long_help = commands::anonymise::EXAMPLE)]
    Anonymise(commands::anonymise::Args),
    /// Convert messages pulled from Pub/Sub, including packs, to one line for each event
    #[command(after_long_help = commands::unpack::EXAMPLE)]
    Unpack(commands::unpack::Args),
    /// Validate the configuration and try every connection
    #[command(after_long_help = commands::check::EXAMPLE)]
    Check(commands::check::Args),
    /// Create the Pub/Sub topics and subscriptions, and the tables and views
    #[command(after_long_help = commands::setup::EXAMPLE)]
    Setup(commands::setup::Args),
    /// Create, rotate and list the keys for pseudonyms
    #[command(after_long_help = commands::keys::EXAMPLE)]
    Keys(commands::keys::Args),
    /// List rejected records, and publish them again after their cause has been removed
    #[command(after_long_help = commands::dead_letters::EXAMPLE)]
    DeadLetters(commands::dead_letters::Args),
    /// Generate page views and clicks into Kafka or a file
    #[command(after_long_help = commands::generate::EXAMPLE)]
    Generate(commands::generate::Args),
    /// Show lag, holes, watermarks and row counts of each partition and flow
    #[command(after_long_help = commands::status::EXAMPLE)]
    Status(commands::status::Args),
    /// Compare Kafka, the ledger and the tables, and report missing offsets and rows
    #[command(after_long_help = commands::reconcile::EXAMPLE)]
    Reconcile(commands::reconcile::Args),
    /// Write shell completions to standard output
    #[command(after_long_help = commands::completions::EXAMPLE)]
    Completions(commands::completions::Args),
    /// Write the manual pages to a directory
    #[command(after_long_help = commands::man::EXAMPLE)]
    Man(commands::man::Args),
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 invalid usage or configuration.
`aqueduct COMMAND --help` describes a command, with an example.";

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The reason why the command failed; [`crate::exit`] derives the exit code from it.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(args) => commands::demo::run(&args, global),
            Self::Processor(args) => commands::processor::run(&args, global),
            Self::Connector(args) => commands::connector::run(&args, global),
            Self::Connect(args) => commands::connect::run(&args, global),
            Self::Replay(args) => commands::replay::run(&args, global),
            Self::Test(args) => commands::test::run(&args, global),
            Self::Anonymise(args) => commands::anonymise::run(&args, global),
            Self::Unpack(args) => commands::unpack::run(&args, global),
            Self::Check(args) => commands::check::run(&args, global),
            Self::Setup(args) => commands::setup::run(&args, global),
            Self::Keys(args) => commands::keys::run(&args, global),
            Self::DeadLetters(args) => commands::dead_letters::run(&args, global),
            Self::Generate(args) => commands::generate::run(&args, global),
            Self::Status(args) => commands::status::run(&args, global),
            Self::Reconcile(args) => commands::reconcile::run(&args, global),
            Self::Completions(args) => commands::completions::run(&args, Cli::command()),
            Self::Man(args) => commands::man::run(&args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
