//! The processor: messages from Pub/Sub in, rows of counted windows out, with exactly-once results.
//!
//! Pure modules decide; `driver` waits and does the I/O, in the order that `stages` prescribes: a message is acknowledged
//! and its rows are sent only after a checkpoint that contains its effect is durable.
//!
//! | module | contents |
//! |---|---|
//! | [`digest`] | the values of one event that the flows need |
//! | [`read`] | payload to digest, in one pass for all flows |
//! | [`records`] | messages to records: the position and the digest of each |
//! | [`frontier`] | the offsets that are accounted for, and the clocks that follow from them |
//! | [`windows`] | slices, sessions, and the panes that they fire |
//! | [`joins`] | assigns clicks to views |
//! | [`ids`] | recognises events that a producer wrote twice |
//! | [`rejected`] | the rejected offsets, which a redrive may publish again |
//! | [`engine`] | all flows over one stream of digests |
//! | [`core`] | the state machine of frontier and engine: messages and time in, rows out |
//! | [`replay`] | the engine over bounded sources such as files |
//! | [`outbox`] | rows that have a stream and an offset and are not yet in their tables |
//! | [`saved`] | the contents of a checkpoint, and their versions |
//! | [`inputs`] | whether every topic of the connector is read |
//! | [`stages`] | which messages may be acknowledged, and which state and rows written, at each moment |
//! | [`store`] | durable checkpoints, fenced so that only one processor writes them |
//! | [`sink`] | the interface to the tables |
//! | [`io`] | the tasks that run beside the driver: reading messages, writing checkpoints and rows |
//! | [`driver`] | the event loop: the only `select!` |
//! | [`board`] | the rows of the last hour, for the live page |
//! | [`view`] | the status that page, metrics and `aqueduct status` share |
//! | [`pace`] | the estimated time until a backlog is processed |
//! | [`metrics`] | names of the metrics, and their values from the view |
//! | `readiness` | the conditions of the readiness probe |
//! | `oddities` | warnings about producers: late events, seconds instead of milliseconds |
//! | `table` | a sharded hash table that grows without long pauses |
//! | [`error`] | the errors that stop a processor |
#![forbid(unsafe_code)]

pub mod digest;

pub mod read;

pub mod records;

pub mod frontier;

pub mod windows;

pub mod joins;

pub mod ids;

pub mod rejected;

pub mod engine;

pub mod core;

pub mod replay;

pub mod outbox;

pub mod saved;

pub mod inputs;

pub mod stages;

pub mod store;

pub mod sink;

pub mod io;

pub mod metrics;

mod readiness;

mod oddities;

mod table;

pub mod board;

pub mod view;

pub mod pace;

pub mod error;

pub mod driver;

pub use driver::{Config, Services, Summary, Writer, run};
pub use error::ProcessorError;
pub use view::View;
