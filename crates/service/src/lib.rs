//! The shell that every program of Aqueduct shares: how it is configured, how it tells what it
//! does, and how it is asked to stop.
//!
//! It knows no domain: no event, no offset, no window. It never depends on `event`; types such as
//! durations reach it only as something that serde can read.
//!
//! | module | idea |
//! |---|---|
//! | [`settings`] | one TOML file, the environment over it, and errors with line and key |
//! | [`levels`] | which log lines are let through; third parties are capped |
//! | [`telemetry`] | logs and panics to standard error |
//! | [`metrics`], [`described`] | counters, gauges and histograms, as OpenMetrics text; what each one means |
//! | [`process`] | what every process tells of itself |
//! | [`readiness`] | what keeps a program from being ready, in words |
//! | [`admin`] | the HTTP server for probes, metrics and log levels |
//! | [`shutdown`] | SIGTERM and Ctrl-C as a cancellation token |
//! | [`backoff`] | how long to wait before trying again |
//! | [`error`] | what can go wrong here, apart from the settings |

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
pub use settings::{Settings, SettingsError, Source};
pub use telemetry::{LogFormat, LogLevels};
