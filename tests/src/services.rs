//! The addresses of the services, which `make test` starts and passes in the environment.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The brokers, `host:port`.
pub const KAFKA: &str = "KAFKA_BOOTSTRAP";
/// The same brokers for clients that use [`KAFKA_FRONT`] afterwards, `host:port`.
pub const KAFKA_BEHIND: &str = "KAFKA_BEHIND";
/// Address of a proxy in front of [`KAFKA_BEHIND`], `host:port`.
pub const KAFKA_FRONT: &str = "KAFKA_FRONT";
/// As [`KAFKA_BEHIND`], for chaos, which runs beside the tests.
pub const KAFKA_CHAOS_BEHIND: &str = "KAFKA_CHAOS_BEHIND";
/// As [`KAFKA_FRONT`], for chaos.
pub const KAFKA_CHAOS_FRONT: &str = "KAFKA_CHAOS_FRONT";
/// The script that runs and restarts the brokers.
pub const KAFKA_SERVICES: &str = "KAFKA_SERVICES";
/// The listener of the same broker with TLS and a password, `host:port`.
pub const KAFKA_SECURED: &str = "KAFKA_SECURED";
/// A directory for clients of [`KAFKA_SECURED`]: `authority.pem`, `user`, `password`, and `stranger.pem`, an unrelated
/// authority.
pub const KAFKA_SECRETS: &str = "KAFKA_SECRETS";
/// Google's Pub/Sub emulator, `host:port`.
pub const PUBSUB: &str = "PUBSUB_EMULATOR_HOST";
/// The BigQuery emulator's REST address, a URL.
pub const BIGQUERY_REST: &str = "BIGQUERY_REST";
/// The BigQuery emulator's gRPC address, a URL.
pub const BIGQUERY_GRPC: &str = "BIGQUERY_GRPC";

/// The schema registry's address, a URL.
pub const SCHEMA_REGISTRY: &str = "SCHEMA_REGISTRY";
/// The schema registry's program, a jar.
pub const SCHEMA_REGISTRY_JAR: &str = "SCHEMA_REGISTRY_JAR";

/// The address of a service.
///
/// # Errors
/// The services are not running.
pub fn address(variable: &str) -> Result<String> {
    std::env::var(variable)
        .with_context(|| format!("{variable} is not set; run `make test`, which starts the services"))
}

/// Restarts the broker with its data and ports. Only for tests that use the broker alone.
///
/// # Errors
/// It was not started natively, or does not respond afterwards.
pub fn restart_kafka() -> Result<()> {
    let services = address(KAFKA_SERVICES)?;
    let ended = Command::new("python3").args([&services, "restart", "--only", "kafka"]).output()?;
    ensure!(
        ended.status.success(),
        "the broker did not come back: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}
