//! What ends a processor.

use crate::{saved::Edited, sink::SinkError, store::StoreError};

/// Why the processor stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A flow means something else than its state.
    #[error(transparent)]
    Edited(#[from] Edited),
    /// A checkpoint that this program cannot read.
    #[error("checkpoint {number} holds no state that this version can read; run the version that wrote it")]
    Unreadable {
        /// Its number.
        number: u64,
        /// Why, where it has this version's format.
        source: Option<postcard::Error>,
    },
    /// A checkpoint of a newer processor.
    #[error(
        "checkpoint {number} has version {version} of the state, and this processor reads versions up to {}: run the \
         newer release that wrote it, or begin with an empty [state] checkpoints",
        crate::store::FORMAT
    )]
    NewerState {
        /// Its number.
        number: u64,
        /// Its version.
        version: u16,
    },
    /// A mark of a newer connector.
    #[error(
        "received a mark of version {version}, and this processor reads marks up to version {}: upgrade the processor \
         first, then the connector; nothing was acknowledged, the upgraded processor continues where this one stopped",
        event::Mark::VERSION
    )]
    NewerMark {
        /// Its version.
        version: u32,
    },
    /// A message of a newer connector.
    #[error(
        "received a message of format {format:?}, which this processor cannot read: upgrade the processor first, then \
         the connector; nothing was acknowledged, the upgraded processor continues where this one stopped"
    )]
    NewerMessage {
        /// The value of its attribute.
        format: String,
    },
    /// Pub/Sub refuses for good.
    #[error(transparent)]
    PubSub(#[from] pubsub::Error),
    /// The tables refuse for good.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Rows are missing in a table's stream that were thought delivered.
    #[error(
        "the stream of table {table} ends before the rows that come next: rows that were delivered are gone; run \
         `aqueduct reconcile` to see which, and begin with an empty state after mending the table"
    )]
    Gap {
        /// Which table.
        table: String,
    },
    /// The state outgrew its bound.
    #[error(
        "the live state needs {bytes} bytes, more than [state] memory allows; most of it is flow {flow} with {keys} \
         keys: raise memory, shorten its window or lateness, or count by fewer values"
    )]
    Memory {
        /// Approximate bytes.
        bytes: u64,
        /// The largest flow.
        flow: String,
        /// Its keys.
        keys: usize,
    },
    /// The state could not be written before the end.
    #[error(
        "the last checkpoint could not be written; what it would have held is not acknowledged and comes again at the \
         next start"
    )]
    LastCheckpoint,
    /// A task of ours ended without a word.
    #[error("a task of the processor ended unexpectedly ({0}); start it again, nothing is lost")]
    Task(&'static str),
}
