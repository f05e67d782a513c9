//! A distributed worker: connectors and states in two compacted topics, which all workers of a group read and write.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the properties of a distributed worker |
//! | `record` | the records of both topics, with their version |
//! | `log` | the connectors that follow from the topic of configurations, pure |
//! | `assignment` | which worker runs which task, pure |
//! | `status` | the states that follow from the topic of states and from who is there, pure |
//! | `local` | the tasks that this worker runs |
//! | `io` | the threads that speak with Kafka |
//! | `herder` | the one `select!`, and what becomes of a command |

mod assignment;
mod herder;
mod io;
mod local;
mod log;
mod record;
mod settings;
mod status;

pub use herder::Herder;
pub use settings::Distributed;
pub(crate) use settings::{is_key, read};
