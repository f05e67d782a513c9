//! TLS in front of a stand-in, for clients that require it. The caller supplies the certificate.
//!
//! Handshakes are made one at a time, which is sufficient for the few connections that a client opens.

use std::{io, sync::Arc, time::Duration};

use axum::serve::Listener;
use tokio::time::timeout;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
        server::{VerifierBuilderError, WebPkiClientVerifier},
    },
    server::TlsStream,
};

/// The certificate of a stand-in, with its key.
#[derive(Clone, Debug)]
pub struct Identity(Arc<ServerConfig>);

/// Why an [`Identity`] cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is not PEM, or contains something else.
    #[error("a certificate or its key cannot be read")]
    Pem(#[from] pem::Error),
    /// The certificate and the key do not match.
    #[error("a certificate cannot be used with its key")]
    Pair(#[from] rustls::Error),
    /// The authority of the clients is not one.
    #[error("certificates of clients cannot be checked")]
    Clients(#[from] VerifierBuilderError),
}

/// How long a client may take for the handshake.
const PATIENCE: Duration = Duration::from_secs(5);

impl Identity {
    /// From a certificate chain and its key, both in PEM format.
    ///
    /// # Errors
    /// If one of them cannot be parsed, or they do not match.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        Self::new(certificates, key, None)
    }

    /// As [`Self::from_pem`], for a server whose clients need a certificate of this authority.
    ///
    /// # Errors
    /// As [`Self::from_pem`], or if the authority is not one.
    pub fn for_clients_of(authority: &[u8], certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        Self::new(certificates, key, Some(authority))
    }

    fn new(certificates: &[u8], key: &[u8], authority: Option<&[u8]>) -> Result<Self, IdentityError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key)?;
        let config =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = match authority {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority)?)?;
                config.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
                )
            }
        };
        let mut config = config.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Accepts connections and completes their TLS handshake.
pub struct Secured<L> {
    inner: L,
    acceptor: TlsAcceptor,
}

impl<L> Secured<L> {
    /// TLS in front of another listener.
    pub fn new(inner: L, identity: &Identity) -> Self {
        Self { inner, acceptor: TlsAcceptor::from(Arc::clone(&identity.0)) }
    }
}

impl<L: Listener> Listener for Secured<L> {
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    /// A connection whose handshake fails is dropped, and the next one is accepted.
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
