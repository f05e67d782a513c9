//! The running stand-in: its port and its tasks.

use std::{
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{Router, serve::Listener};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    faults::{self, Faults},
    grpc, rest,
    tables::Tables,
};
use standin::{
    prompt::prompt,
    tls::{Identity, Secured},
};

/// A running stand-in for BigQuery. Dropping it stops it.
#[derive(Debug)]
pub struct BigQuery {
    address: SocketAddr,
    faults: Faults,
    stop: CancellationToken,
    service: Router,
    /// Owns the tasks of the servers.
    servers: JoinSet<()>,
}

/// Why the stand-in cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No port is available.
    #[error("the BigQuery stand-in cannot listen on a free port")]
    Listen(#[from] std::io::Error),
    /// The in-memory database cannot be opened.
    #[error("the BigQuery stand-in cannot open an in-memory database")]
    Database(#[from] rusqlite::Error),
}

/// The state that all calls share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    tables: Arc<Mutex<Tables>>,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl BigQuery {
    /// Listens on a free port and serves REST and gRPC there.
    ///
    /// # Errors
    /// If no port is available, or the database cannot be opened.
    pub async fn start() -> Result<Self, StartError> {
        let tables = Arc::new(Mutex::new(Tables::new()?));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let faults = Faults::new(Arc::clone(&tables));
        let stop = CancellationToken::new();
        let shared =
            Shared { tables, faults: faults.clone(), stop: stop.clone(), connections: TaskTracker::new() };
        let service = grpc::routes(shared.clone()).merge(rest::routes(shared));
        let mut servers = JoinSet::new();
        servers.spawn(serve(prompt(listener), service.clone(), stop.clone()));
        Ok(Self { address, faults, stop, service, servers })
    }

    /// Serves the same tables over TLS as well, on another free port: clients of Google Cloud accept nothing else. Returns
    /// `host:port`.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn secure(&mut self, identity: &Identity) -> Result<String, StartError> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let listener = Secured::new(prompt(listener), identity);
        self.servers.spawn(serve(listener, self.service.clone(), self.stop.clone()));
        Ok(format!("localhost:{port}"))
    }

    /// `host:port` of both APIs.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Controls the faults of this server.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

async fn serve<L: Listener<Addr: Debug>>(listener: L, service: Router, stop: CancellationToken) {
    // Ends without an error, on the shutdown signal.
    let _ = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await;
}

impl Drop for BigQuery {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        faults::locked(&self.tables)
    }
}
