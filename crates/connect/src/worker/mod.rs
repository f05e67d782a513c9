//! A worker: the connectors of one process, and their states. See [`crate::distributed`] for what several workers share.
//!
//! | module | contents |
//! |---|---|
//! | `config` | the worker's properties |
//! | `state` | states of connectors and tasks, and why a command is refused |
//! | `change` | what REST asks, and the configuration that a change leads to |
//! | `herder` | owns the connectors of a standalone worker, and takes commands and the ends of tasks one at a time |
//! | `handle` | what sends the commands |
//! | `memory` | what all connectors of the process may take |
//! | `supervise` | one task, from waiting for its topics to its end |

pub(crate) mod change;
pub(crate) mod config;
mod handle;
mod herder;
mod memory;
mod state;
pub(crate) mod supervise;

use std::collections::BTreeMap;

pub use config::{Mistake, WorkerConfig};
pub use handle::Handle;
pub use herder::Herder;
pub use memory::Memory;
pub use state::{Status, Target, TaskState, TaskStatus, WorkerError};

use crate::define::Config;

/// A connector with everything that REST shows of it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its configuration as it was given, with its name in it.
    pub config: Config,
    /// Its state.
    pub status: Status,
}

/// What a command returns.
pub type Answer<T> = Result<T, WorkerError>;

/// An offset of a partition, or none.
pub type OffsetChange = ((String, i32), Option<u64>);

/// A change of a configuration: `None` removes a key.
pub type Patch = BTreeMap<String, Option<String>>;
