//! The running stand-in: its port and its tasks.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    faults::{self, Faults},
    grpc, rest,
    tables::Tables,
};
use standin::prompt::prompt;

/// A running stand-in for BigQuery. Dropping it stops it.
#[derive(Debug)]
pub struct BigQuery {
    address: SocketAddr,
    faults: Faults,
    stop: CancellationToken,
    /// Owns the task of the server.
    _server: JoinSet<()>,
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
        let stopped = stop.clone().cancelled_owned();
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Ends without an error, on the shutdown signal.
            let _ = axum::serve(prompt(listener), service).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { address, faults, stop, _server: server })
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
