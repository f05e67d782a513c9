//! The running stand-in: its port and its task.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::serve::Listener;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, Gate},
    faults::Fault,
    routes,
    schemas::{self, Schema, Schemas},
};
use standin::prompt::prompt;
use standin::tls::{Identity, Secured};

/// A running stand-in for a schema registry. Dropping it stops it.
#[derive(Debug)]
pub struct SchemaRegistry {
    address: SocketAddr,
    shared: Shared,
    /// Owns the task of the server.
    _server: JoinSet<()>,
}

/// The state that all requests share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    state: Arc<Mutex<State>>,
    pub(super) stop: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) schemas: Schemas,
    pub(super) gate: Gate,
    /// Taken by one request each, before `always`.
    pub(super) next: VecDeque<Fault>,
    pub(super) always: Option<Fault>,
    /// The paths of the requests so far.
    pub(super) requests: Vec<String>,
}

impl SchemaRegistry {
    /// Listens on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens at an address, such as that of a server that was stopped.
    ///
    /// # Errors
    /// If it is in use.
    pub async fn start_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self::serve(address, prompt(listener)))
    }

    /// Listens on a free port, with TLS.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start_secured(identity: &Identity) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self::serve(address, Secured::new(prompt(listener), identity)))
    }

    fn serve<L: Listener>(address: SocketAddr, listener: L) -> Self
    where
        L::Addr: std::fmt::Debug,
    {
        let shared = Shared { state: Arc::default(), stop: CancellationToken::new() };
        let service = routes::routes(shared.clone());
        let stopped = shared.stop.clone().cancelled_owned();
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Ends without an error, on the shutdown signal.
            let _ = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
        });
        Self { address, shared, _server: server }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as clients write it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Registers a schema for a subject, and returns its ID.
    pub fn register(&self, subject: &str, schema: Schema) -> u32 {
        self.shared.state().schemas.register(subject, schema)
    }

    /// The GUID of an ID.
    pub fn guid(&self, id: u32) -> [u8; 16] {
        schemas::guid(id)
    }

    /// The credentials that requests need from now on.
    pub fn require(&self, access: Access) {
        self.shared.state().gate.access = access;
    }

    /// Withdraws the tokens that were issued.
    pub fn withdraw_tokens(&self) {
        self.shared.state().gate.withdraw();
    }

    /// How many tokens were issued.
    pub fn issued_tokens(&self) -> u32 {
        self.shared.state().gate.issued()
    }

    /// The next requests get these, in order.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().next.extend(faults);
    }

    /// Every request gets this from now on, after those of [`SchemaRegistry::next`].
    pub fn always(&self, fault: Option<Fault>) {
        self.shared.state().always = fault;
    }

    /// The paths of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }
}

impl Drop for SchemaRegistry {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
