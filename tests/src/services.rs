//! Where the services are: `make test` starts them and tells by the environment.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The brokers, `host:port`.
pub const KAFKA: &str = "KAFKA_BOOTSTRAP";
/// The same brokers for clients that are sent to [`KAFKA_FRONT`] from there, `host:port`.
pub const KAFKA_BEHIND: &str = "KAFKA_BEHIND";
/// Where a proxy before [`KAFKA_BEHIND`] listens, `host:port`.
pub const KAFKA_FRONT: &str = "KAFKA_FRONT";
/// The script that runs the brokers, and can restart them.
pub const KAFKA_SERVICES: &str = "KAFKA_SERVICES";
/// The same broker where it wants TLS and a password, `host:port`.
pub const KAFKA_SECURED: &str = "KAFKA_SECURED";
/// A folder with what clients of [`KAFKA_SECURED`] need: `authority.pem`, `user` and `password`; and `stranger.pem`, an
/// authority that signed nothing.
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
/// The services were not started.
pub fn address(variable: &str) -> Result<String> {
    std::env::var(variable)
        .with_context(|| format!("{variable} is not set; run `make test`, which starts the services"))
}

/// Restarts the broker with its data and ports. Only for what has it for itself: every other test shares it.
///
/// # Errors
/// It was not started natively, or does not answer again.
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
