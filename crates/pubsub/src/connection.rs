//! The endpoint of Pub/Sub, and a connection to it with credentials.
//!
//! Opening a connection contacts only the source of the credentials, so it also succeeds while Pub/Sub is
//! unavailable.

use std::{fmt, time::Duration};

use google::{Caller, Credentials, channel};
use tonic::transport::Endpoint as Address;

use crate::{
    admin::ACK_DEADLINE,
    error::{Error, innermost},
};

/// The endpoint of Pub/Sub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Google Cloud, with application default credentials.
    GoogleCloud,
    /// Another endpoint of Google Cloud, such as that of a region.
    Regional {
        /// `https://host:port`.
        url: String,
    },
    /// An emulator or stand-in, without credentials.
    Emulator {
        /// `http://host:port`.
        url: String,
    },
}

/// Clients for one endpoint. Cheap to clone; they connect on first use.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) endpoint: Endpoint,
    /// For channels that are not shared: an unread stream would block everything else on its connection.
    pub(crate) address: Address,
    pub(crate) caller: Caller,
}

/// Deadline of a publish, acknowledge or extend call.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Deadline for the first access token.
const CREDENTIALS_DEADLINE: Duration = Duration::from_secs(30);
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";

impl Endpoint {
    /// An emulator at `host:port`, with or without `http://`.
    ///
    /// # Errors
    /// [`Error::EmulatorHost`] if the address is invalid.
    pub fn emulator(host: &str) -> Result<Self, Error> {
        let address = host.trim_start_matches("http://").trim_end_matches('/');
        let usable = address.rsplit_once(':').is_some_and(|(name, port)| {
            !name.is_empty()
                && !name.contains(['/', ' ', '@'])
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !usable {
            return Err(Error::EmulatorHost { host: host.to_owned() });
        }
        Ok(Self::Emulator { url: format!("http://{address}") })
    }

    /// An endpoint of Google Cloud at `host:port`.
    ///
    /// # Errors
    /// [`Error::EmulatorHost`] if the address is invalid.
    pub fn regional(host: &str) -> Result<Self, Error> {
        match Self::emulator(host)? {
            Self::Emulator { url } => Ok(Self::Regional { url: url.replacen("http://", "https://", 1) }),
            other => Ok(other),
        }
    }

    /// The duration of one lease. Google's emulator 0.8.20 keeps delivering to cancelled streams, and redelivers
    /// those messages only when their lease has expired, so its leases have the shortest duration that Pub/Sub
    /// allows.
    pub fn lease(&self) -> Duration {
        match self {
            Self::GoogleCloud | Self::Regional { .. } => ACK_DEADLINE,
            Self::Emulator { .. } => Duration::from_secs(10),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoogleCloud => f.write_str("https://pubsub.googleapis.com"),
            Self::Regional { url } | Self::Emulator { url } => f.write_str(url),
        }
    }
}

impl Connection {
    /// Finds credentials (for Google Cloud this fetches a first token) and creates the clients. Pub/Sub itself may be
    /// unavailable.
    ///
    /// # Errors
    /// [`Error::Credentials`] if there are no credentials, or they have expired.
    pub async fn open(endpoint: Endpoint) -> Result<Self, Error> {
        let credentials = match &endpoint {
            Endpoint::GoogleCloud | Endpoint::Regional { .. } => default_credentials().await?,
            Endpoint::Emulator { .. } => Credentials::none(),
        };
        Self::with(endpoint, credentials)
    }

    /// As [`Self::open`], with the key of a service account, as JSON. Makes no call yet.
    ///
    /// # Errors
    /// [`Error::Credentials`] if the text is not such a key.
    pub fn with_service_account(endpoint: Endpoint, key: &str) -> Result<Self, Error> {
        let credentials =
            Credentials::service_account(key, SCOPE).map_err(|error| Error::credentials(&error))?;
        Self::with(endpoint, credentials)
    }

    fn with(endpoint: Endpoint, credentials: Credentials) -> Result<Self, Error> {
        let address = channel::address(&endpoint.to_string()).map_err(|error| Error::credentials(&error))?;
        let channel = address.clone().timeout(CALL_DEADLINE).connect_lazy();
        Ok(Self { caller: Caller { channel, credentials }, address, endpoint })
    }

    /// The endpoint of this connection.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The advice in the log while no token is available.
const LOOK_FOR_TOKENS: &str = "outside Google Cloud, run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS; inside, check that the metadata server is reachable";

/// Application default credentials that have returned a token. If their source is temporarily unavailable, the calls
/// that need a token wait for it later.
async fn default_credentials() -> Result<Credentials, Error> {
    let credentials = Credentials::application_default(SCOPE).map_err(|error| Error::credentials(&error))?;
    match tokio::time::timeout(CREDENTIALS_DEADLINE, credentials.headers()).await {
        Ok(Err(error)) if !error.is_temporary() => return Err(Error::credentials(&error)),
        Ok(Err(error)) => {
            let cause = innermost(&error);
            tracing::warn!(%cause, action = LOOK_FOR_TOKENS, "cannot get a Google Cloud token; retrying");
        }
        Err(_) => tracing::warn!(
            waited = ?CREDENTIALS_DEADLINE,
            action = LOOK_FOR_TOKENS,
            "cannot get a Google Cloud token; retrying"
        ),
        Ok(Ok(_)) => {}
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_a_host_and_a_port() {
        for (host, url) in [
            ("localhost:8085", Some("http://localhost:8085")),
            ("http://127.0.0.1:1/", Some("http://127.0.0.1:1")),
            ("[::1]:8085", Some("http://[::1]:8085")),
            ("localhost", None),
            (":8085", None),
            ("localhost:0", None),
            ("https://pubsub.googleapis.com", None),
            ("", None),
        ] {
            assert_eq!(Endpoint::emulator(host).ok().map(|e| e.to_string()).as_deref(), url, "{host}");
        }
    }
}
