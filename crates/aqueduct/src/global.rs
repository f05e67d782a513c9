//! The options of every command: the configuration and the log.

use std::path::PathBuf;

use clap::Args;
use event::EventTime;
use service::{LogFormat, LogLevels, Settings, SettingsError, Source};

use crate::{
    config::{Config, ConfigError, SECTIONS},
    errors::WrongUsage,
    grid::Format,
    progress::Lines,
};

/// The options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: $AQUEDUCT_CONFIG, or aqueduct.toml in the current folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "General")]
    pub(crate) config: Option<PathBuf>,
    /// Format of log lines on standard error: text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "General")]
    #[arg(hide_possible_values = true)]
    pub(crate) log_format: Format,
}

/// The crates to which a plain log level such as `debug` applies.
const OWN_CRATES: &[&str] = &[
    "aqueduct",
    "connect",
    "connector",
    "kafka",
    "processor",
    "writer",
    "pubsub",
    "service",
    "standin",
    "event",
];

impl Global {
    /// The configuration that the command line, the environment or the current folder names. Reads no section yet.
    ///
    /// # Errors
    /// The named file does not exist, cannot be read, is not valid TOML, or has an unknown section.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Ok(Config::of(Settings::open(&self.source(), SECTIONS)?))
    }

    /// As [`Self::config`], with the errors of the file beside what is valid in it.
    ///
    /// # Errors
    /// The named file does not exist or cannot be read.
    pub(crate) fn partial_config(&self) -> Result<(Config, Vec<SettingsError>), ConfigError> {
        let (settings, errors) = Settings::open_partial(&self.source(), SECTIONS)?;
        Ok((Config::of(settings), errors))
    }

    fn source(&self) -> Source {
        Source::choose(self.config.clone(), std::env::var_os(service::settings::CONFIG_VARIABLE))
    }

    /// Starts logging to standard error.
    ///
    /// # Errors
    /// `AQUEDUCT_LOG` is not a valid log level.
    pub(crate) fn start_logging(&self) -> anyhow::Result<LogLevels> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        let init = service::telemetry::init(format, OWN_CRATES, || Lines);
        init.map_err(|error| match error {
            service::ServiceError::Levels { .. } => {
                WrongUsage(format!("{}: {error}", service::telemetry::LOG_VARIABLE)).into()
            }
            other => other.into(),
        })
    }
}

/// Parses a time on the command line.
///
/// # Errors
/// The text is not an RFC 3339 time between 1970 and 9000. The upper bound leaves room for windows and lateness after
/// it.
pub(crate) fn time(text: &str) -> Result<EventTime, String> {
    const YEAR_9000: EventTime = EventTime(221_845_392_000_000);
    EventTime::from_rfc3339(text)
        .filter(|time| (EventTime(0)..YEAR_9000).contains(time))
        .ok_or_else(|| "expected an RFC 3339 time from 1970 on, for example 2026-11-01T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
