//! TLS in front of a stand-in, for clients that speak nothing else.
//!
//! Not here: making certificates. A handshake is waited for before the next connection is taken, which does for the
//! handful of connections that a client opens.

use std::{io, sync::Arc, time::Duration};

use axum::serve::Listener;
use tokio::time::timeout;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
    server::TlsStream,
};

/// Who a stand-in says it is.
#[derive(Clone, Debug)]
pub struct Identity(Arc<ServerConfig>);

/// No identity can be made of this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It is no PEM, or holds something else.
    #[error("a certificate or its key cannot be read")]
    Pem(#[from] pem::Error),
    /// The two do not fit together.
    #[error("a certificate cannot be used with its key")]
    Pair(#[from] rustls::Error),
}

/// How long a client may take to shake hands.
const PATIENCE: Duration = Duration::from_secs(5);

impl Identity {
    /// From a chain of certificates and its key, both as PEM.
    ///
    /// # Errors
    /// When they are no such thing.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Connections that have shaken hands.
pub(crate) struct Secured<L> {
    inner: L,
    acceptor: TlsAcceptor,
}

impl<L> Secured<L> {
    pub(crate) fn new(inner: L, identity: &Identity) -> Self {
        Self { inner, acceptor: TlsAcceptor::from(Arc::clone(&identity.0)) }
    }
}

impl<L: Listener> Listener for Secured<L> {
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    /// Who fails to shake hands has to see to it: another connection is taken.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (connection, from) = Listener::accept(&mut self.inner).await;
            if let Ok(Ok(secured)) = timeout(PATIENCE, self.acceptor.accept(connection)).await {
                return (secured, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}
