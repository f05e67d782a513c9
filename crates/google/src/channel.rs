//! The address of a gRPC service.

use std::time::Duration;

use tonic::transport::Endpoint;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings, which detect a connection that was lost without being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);

/// Why no channel can be made.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is invalid, or the system has no root certificates.
    #[error(transparent)]
    Address(#[from] tonic::transport::Error),
    /// This binary was built without the feature `cloud`.
    #[error("this build does not include TLS; build with the default feature `cloud`")]
    NotBuilt,
}

/// The address of a service: `https://` with TLS and the system's root certificates, `http://` without. Channels made
/// from it connect on first use and reconnect when necessary.
///
/// # Errors
/// If the address is invalid, the system has no root certificates, or TLS was left out of this build.
pub fn address(url: &str) -> Result<Endpoint, ChannelError> {
    let address = Endpoint::from_shared(url.to_owned())?
        .user_agent(concat!("aqueduct/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE);
    if url.starts_with("https://") { secured(address) } else { Ok(address) }
}

#[cfg(feature = "cloud")]
fn secured(address: Endpoint) -> Result<Endpoint, ChannelError> {
    Ok(address.tls_config(tonic::transport::ClientTlsConfig::new().with_enabled_roots())?)
}

#[cfg(not(feature = "cloud"))]
fn secured(_: Endpoint) -> Result<Endpoint, ChannelError> {
    Err(ChannelError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn google_cloud_needs_tls() {
        match address("https://pubsub.googleapis.com") {
            Ok(address) => drop(address.connect_lazy()),
            Err(error) => assert!(matches!(error, ChannelError::NotBuilt), "{error}"),
        }
        address("http://localhost:8085").expect("an emulator has no TLS").connect_lazy();
        assert!(matches!(address("http://no address"), Err(ChannelError::Address(_))));
    }
}
