//! Pub/Sub -> frontier -> windows -> panes, with checkpoints.
//!
//! | module | idea |
//! |---|---|
//! | [`flow`] | what a flow is, and `[[flows]]` |
//! | [`digest`] | an event as the flows need it |
//! | [`read`] | one pass over a payload for all flows |
//! | [`frontier`] | which offsets are accounted for, and the clocks that follow |
//! | [`windows`] | counting into slices, firing panes |
//! | [`joins`] | clicks find their views |
//! | [`ids`] | what a producer wrote twice |
//! | [`engine`] | all flows over one stream of events |
//! | [`core`] | the whole as a pure state machine |
//! | [`replay`] | the engine over files: batch is streaming over a bounded source |
//! | [`outbox`] | rows with their place, until they stand in their tables |
//! | [`saved`] | what a checkpoint holds |
//! | [`stages`] | what may be acknowledged, saved and sent, and when |
//! | [`sink`] | the port to the tables |
//! | [`io`] | Pub/Sub's messages, and the tasks beside the driver |
//! | [`board`] | the rows of the last hour, for a page |
//! | [`view`] | what a spectator sees |
//! | [`pace`] | how long a backlog takes |
//! | [`metrics`], `readiness` | what is counted, and whether it goes on |
//! | [`driver`] | the one loop |
//! | [`store`] | durable, fenced checkpoints |
#![forbid(unsafe_code)]

pub mod digest;

pub mod read;

pub mod frontier;

pub mod windows;

pub mod joins;

pub mod ids;

pub mod engine;

pub mod core;

pub mod replay;

pub mod outbox;

pub mod saved;

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

pub use driver::{Config, Services, Summary, run};
pub use error::ProcessorError;
pub use view::View;
