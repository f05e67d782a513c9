//! The shell that every command shares: configuration, logs, metrics, probes and shutdown.
//!
//! It contains no domain logic: no event, no offset, no window. It never depends on `event`; types such as durations
//! reach it only as types that serde can read.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | one TOML file, overridden by the environment, and errors with line and key |
//! | [`levels`] | log levels; other libraries are capped |
//! | [`telemetry`] | logs and panics to standard error |
//! | [`metrics`], [`described`] | counters, gauges and histograms, as OpenMetrics text; their names and meanings |
//! | [`process`] | metrics that every process exports |
//! | [`readiness`] | whether a process is ready, with the reasons |
//! | [`admin`] | the HTTP server for probes, metrics and log levels |
//! | [`shutdown`] | SIGTERM and Ctrl-C as a cancellation token |
//! | [`backoff`] | the delay before another attempt |
//! | [`error`] | errors of this crate, other than those of the settings |

#![forbid(unsafe_code)]

pub mod settings;

pub mod levels;
pub mod telemetry;

pub mod described;
pub mod metrics;
pub mod process;
pub mod readiness;

pub mod admin;

pub mod shutdown;

pub mod backoff;

pub mod error;

pub use admin::ServiceSettings;
pub use backoff::Backoff;
pub use error::ServiceError;
pub use levels::Levels;
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use settings::{Settings, SettingsError, SettingsErrors, Source};
pub use telemetry::{LogFormat, LogLevels};
