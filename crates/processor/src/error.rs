//! The errors that stop a processor.

use crate::{saved::Edited, sink::SinkError, store::StoreError};

/// Why a processor stopped without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The state could not be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The definition of a flow differs from that in its state.
    #[error(transparent)]
    Edited(#[from] Edited),
    /// This program cannot read a checkpoint.
    #[error("checkpoint {number} holds no state that this version can read; run the version that wrote it")]
    Unreadable {
        /// The checkpoint's number.
        number: u64,
        /// The decoder's error, if the checkpoint has the current version.
        source: Option<postcard::Error>,
    },
    /// A newer processor wrote a checkpoint.
    #[error(
        "checkpoint {number} has version {version} of the state, and this processor reads versions up to {}: run the \
         newer release that wrote it, or begin with an empty [state] checkpoints",
        crate::store::FORMAT
    )]
    NewerState {
        /// The checkpoint's number.
        number: u64,
        /// The checkpoint's version.
        version: u16,
    },
    /// A newer connector wrote a mark.
    #[error(
        "received a mark of version {version}, and this processor reads marks up to version {}: upgrade the processor \
         first, then the connector; nothing was acknowledged, the upgraded processor continues where this one stopped",
        event::Mark::VERSION
    )]
    NewerMark {
        /// The mark's version.
        version: u32,
    },
    /// A newer connector wrote a message.
    #[error(
        "received a message of format {format:?}, which this processor cannot read: upgrade the processor first, then \
         the connector; nothing was acknowledged, the upgraded processor continues where this one stopped"
    )]
    NewerMessage {
        /// The value of the message's `aqueduct.format` attribute.
        format: String,
    },
    /// Pub/Sub rejects requests permanently.
    #[error(transparent)]
    PubSub(#[from] pubsub::Error),
    /// The tables reject rows permanently.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A table's stream lacks rows that had been reported as delivered.
    #[error(
        "the stream of table {table} ends before the rows that come next: rows that were delivered are gone; run \
         `aqueduct reconcile` to see which, and begin with an empty state after mending the table"
    )]
    Gap {
        /// The table.
        table: String,
    },
    /// The state has outgrown `memory`.
    #[error(
        "the live state needs {bytes} bytes, more than [state] memory allows; most of it is flow {flow} with {keys} \
         keys: raise memory, shorten its window or lateness, or count by fewer values"
    )]
    Memory {
        /// Approximate bytes of the state.
        bytes: u64,
        /// The largest flow.
        flow: String,
        /// The number of its keys.
        keys: usize,
    },
    /// The last state could not be written before the process ended.
    #[error(
        "the last checkpoint could not be written; what it would have held is not acknowledged and comes again at the \
         next start"
    )]
    LastCheckpoint,
    /// A task of the processor panicked or was aborted.
    #[error("a task of the processor ended unexpectedly ({0}); start it again, nothing is lost")]
    Task(&'static str),
}
