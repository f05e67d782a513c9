//! The words of the command line. What a command takes stands beside the command ([`crate::commands`]).

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use event::EventTime;
use service::{LogFormat, LogLevels, Settings, SettingsError, Source};

use crate::{commands, config, progress::Lines};

/// Kafka to Google Cloud Pub/Sub without the people, and click-through rates in BigQuery
///
/// Carries events from Kafka to Pub/Sub with pseudonyms in place of the people in them, and turns them into
/// click-through rates, every minute for the last ten minutes, per page and per box.
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
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The configuration file [default: aqueduct.toml in the current folder, or $AQUEDUCT_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "General")]
    pub config: Option<PathBuf>,
    /// How log lines look on standard error: text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "General")]
    #[arg(hide_possible_values = true)]
    pub log_format: LogLines,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogLines {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole pipe in this process, with traffic: needs nothing
    #[command(after_long_help = commands::demo::EXAMPLE)]
    Demo(commands::demo::Args),
    /// Kafka to Pub/Sub, until told to stop
    #[command(after_long_help = commands::connector::EXAMPLE)]
    Connector(commands::connector::Args),
    /// Pub/Sub to BigQuery or SQLite, until told to stop
    #[command(after_long_help = commands::processor::EXAMPLE)]
    Processor(commands::processor::Args),
    /// The same flows over files, or over a stretch of the Kafka topics
    #[command(after_long_help = commands::replay::EXAMPLE)]
    Replay(commands::replay::Args),
    /// What the connector would publish: NDJSON on standard input to standard output
    #[command(after_long_help = commands::anonymise::EXAMPLE)]
    Anonymise(commands::anonymise::Args),
    /// Says what is wrong with the configuration, then tries every connection
    #[command(after_long_help = commands::check::EXAMPLE)]
    Check(commands::check::Args),
    /// Makes the Pub/Sub topics and subscriptions and the tables that the configuration needs
    #[command(after_long_help = commands::setup::EXAMPLE)]
    Setup(commands::setup::Args),
    /// Makes, extends and lists the keyring that pseudonyms are made with
    #[command(after_long_help = commands::keys::EXAMPLE)]
    Keys(commands::keys::Args),
    /// Makes page views and clicks, into Kafka or a file
    #[command(after_long_help = commands::generate::EXAMPLE)]
    Generate(commands::generate::Args),
    /// Lag, holes, watermark and row counts, per partition and flow
    #[command(after_long_help = commands::status::EXAMPLE)]
    Status(commands::status::Args),
    /// What went in, what came out, what is missing
    #[command(after_long_help = commands::reconcile::EXAMPLE)]
    Reconcile(commands::reconcile::Args),
    /// Completions for a shell, on standard output
    #[command(after_long_help = commands::completions::EXAMPLE)]
    Completions(commands::completions::Args),
    /// The manual pages, into a folder
    #[command(after_long_help = commands::man::EXAMPLE)]
    Man(commands::man::Args),
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
`aqueduct COMMAND --help` explains a command and shows an example.";

/// The crates whose log lines a plain level such as `debug` is meant for.
const OWN_CRATES: &[&str] =
    &["aqueduct", "connector", "processor", "writer", "pubsub", "service", "standin", "event"];

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done; [`crate::exit`] tells the exit code.
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
    /// The file was named and is not there, cannot be read, is no TOML, or has an unknown section.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let source =
            Source::choose(self.config.clone(), std::env::var_os(service::settings::CONFIG_VARIABLE));
        Settings::open(&source, config::SECTIONS)
    }

    /// Starts logging to standard error.
    ///
    /// # Errors
    /// `AQUEDUCT_LOG` is no log level.
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

/// A time on the command line.
///
/// # Errors
/// The text is no RFC 3339 time between 1970 and 9000, which leaves room for what follows it.
pub fn time(text: &str) -> Result<EventTime, String> {
    const YEAR_9000: EventTime = EventTime(221_845_392_000_000);
    EventTime::from_rfc3339(text)
        .filter(|time| (EventTime(0)..YEAR_9000).contains(time))
        .ok_or_else(|| "write a time since 1970 with its offset, such as 2026-11-01T12:00:00Z".to_owned())
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
