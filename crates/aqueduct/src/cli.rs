//! The command line: global options and the list of commands. The options of a command are in its own module
//! ([`crate::commands`]).

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use event::EventTime;
use service::{LogFormat, LogLevels, Settings, SettingsError, Source};

use crate::{commands, config, progress::Lines};

/// Kafka to Pub/Sub with personal data pseudonymised, and click-through rates in BigQuery
///
/// Streams events from Kafka to Google Cloud Pub/Sub, pseudonymises personal data on the way, and computes windowed
/// click-through rates in BigQuery or SQLite, for example every minute for the last ten minutes.
#[derive(Debug, Parser)]
#[command(
    name = "aqueduct",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file [default: $AQUEDUCT_CONFIG, or aqueduct.toml in the current folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "General")]
    pub config: Option<PathBuf>,
    /// Format of log lines on standard error: text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "General")]
    #[arg(hide_possible_values = true)]
    pub log_format: LogLines,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogLines {
    /// Text
    Text,
    /// One JSON object per line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline in one process with generated traffic; needs no services
    #[command(after_long_help = commands::demo::EXAMPLE)]
    Demo(commands::demo::Args),
    /// Read Kafka, pseudonymise, and publish to Pub/Sub, until stopped
    #[command(after_long_help = commands::connector::EXAMPLE)]
    Connector(commands::connector::Args),
    /// Read Pub/Sub, count, and write rows to BigQuery or SQLite, until stopped
    #[command(after_long_help = commands::processor::EXAMPLE)]
    Processor(commands::processor::Args),
    /// Compute the flows over files, or over a range of the Kafka topics
    #[command(after_long_help = commands::replay::EXAMPLE)]
    Replay(commands::replay::Args),
    /// Pseudonymise NDJSON from standard input as the connector would
    #[command(after_long_help = commands::anonymise::EXAMPLE)]
    Anonymise(commands::anonymise::Args),
    /// Validate the configuration and try every connection
    #[command(after_long_help = commands::check::EXAMPLE)]
    Check(commands::check::Args),
    /// Create the Pub/Sub topics and subscriptions, tables and views
    #[command(after_long_help = commands::setup::EXAMPLE)]
    Setup(commands::setup::Args),
    /// Create, rotate and list the keys for pseudonyms
    #[command(after_long_help = commands::keys::EXAMPLE)]
    Keys(commands::keys::Args),
    /// Generate page views and clicks, into Kafka or a file
    #[command(after_long_help = commands::generate::EXAMPLE)]
    Generate(commands::generate::Args),
    /// Show lag, holes, watermarks and row counts of each partition and flow
    #[command(after_long_help = commands::status::EXAMPLE)]
    Status(commands::status::Args),
    /// Compare Kafka, the ledger and the tables, and report what is missing
    #[command(after_long_help = commands::reconcile::EXAMPLE)]
    Reconcile(commands::reconcile::Args),
    /// Write completions for a shell to standard output
    #[command(after_long_help = commands::completions::EXAMPLE)]
    Completions(commands::completions::Args),
    /// Write the manual pages into a folder
    #[command(after_long_help = commands::man::EXAMPLE)]
    Man(commands::man::Args),
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
`aqueduct COMMAND --help` describes a command and shows an example.";

/// The crates to which a plain log level such as `debug` applies.
const OWN_CRATES: &[&str] =
    &["aqueduct", "connector", "kafka", "processor", "writer", "pubsub", "service", "standin", "event"];

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The reason why the command failed; [`crate::exit`] derives the exit code from it.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(args) => commands::demo::run(&args, global),
            Self::Processor(args) => commands::processor::run(&args, global),
            Self::Connector(args) => commands::connector::run(&args, global),
            Self::Replay(args) => commands::replay::run(&args, global),
            Self::Anonymise(args) => commands::anonymise::run(&args, global),
            Self::Check(args) => commands::check::run(&args, global),
            Self::Setup(args) => commands::setup::run(&args, global),
            Self::Keys(args) => commands::keys::run(&args, global),
            Self::Generate(args) => commands::generate::run(&args, global),
            Self::Status(args) => commands::status::run(&args, global),
            Self::Reconcile(args) => commands::reconcile::run(&args, global),
            Self::Completions(args) => commands::completions::run(&args),
            Self::Man(args) => commands::man::run(&args),
        }
    }
}

impl Global {
    /// The configuration that the command line, the environment or the current folder names.
    ///
    /// # Errors
    /// The named file does not exist, cannot be read, is not valid TOML, or has an unknown section.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let source =
            Source::choose(self.config.clone(), std::env::var_os(service::settings::CONFIG_VARIABLE));
        Settings::open(&source, config::SECTIONS)
    }

    /// Starts logging to standard error.
    ///
    /// # Errors
    /// `AQUEDUCT_LOG` is not a valid log level.
    pub fn start_logging(&self) -> anyhow::Result<LogLevels> {
        let format = match self.log_format {
            LogLines::Text => LogFormat::Text,
            LogLines::Json => LogFormat::Json,
        };
        let colour = service::telemetry::colour();
        let init = service::telemetry::init_with_writer(format, OWN_CRATES, colour, || Lines);
        init.map_err(|error| match error {
            service::ServiceError::Levels { .. } => {
                crate::exit::WrongUsage(format!("{}: {error}", service::telemetry::LOG_VARIABLE)).into()
            }
            other => other.into(),
        })
    }
}

/// Parses a time on the command line.
///
/// # Errors
/// The text is not an RFC 3339 time between 1970 and 9000. The upper bound leaves room for windows and lateness after it.
pub fn time(text: &str) -> Result<EventTime, String> {
    const YEAR_9000: EventTime = EventTime(221_845_392_000_000);
    EventTime::from_rfc3339(text)
        .filter(|time| (EventTime(0)..YEAR_9000).contains(time))
        .ok_or_else(|| "expected a time since 1970 with an offset, such as 2026-11-01T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example") && help.contains("  aqueduct "), "{}", command.get_name());
        }
    }

    #[test]
    fn times_need_an_offset() {
        assert_eq!(time("1970-01-01T01:00:01+01:00"), Ok(EventTime(1000)));
        for text in
            ["now", "2026-11-01", "2026-11-01T12:00:00", "1969-12-31T23:59:59Z", "9000-01-01T00:00:00Z"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
