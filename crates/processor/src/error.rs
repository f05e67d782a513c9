//! The errors that stop a processor.

use crate::{inputs, records, saved::Edited, sink::SinkError, store::StoreError};

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
    #[error("cannot decode the state in checkpoint {number}; run the version that wrote it")]
    Unreadable {
        /// The checkpoint's number.
        number: u64,
        /// The decoder's error, if the checkpoint has the current version.
        source: Option<postcard::Error>,
    },
    /// A newer processor wrote a checkpoint.
    #[error(
        "checkpoint {number} has state version {version}, but this processor reads versions up to {}; run the newer release that wrote it, or start with an empty [state] checkpoints",
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
        "received a mark of version {version}, but this processor reads versions up to {}; upgrade the processor first, then the connector; no message was acknowledged, so the upgraded processor continues here",
        event::Mark::ROUTED
    )]
    NewerMark {
        /// The mark's version.
        version: u32,
    },
    /// The connector publishes to a topic that is not read.
    #[error(transparent)]
    Unread(#[from] inputs::Unread),
    /// A newer connector wrote a message.
    #[error(
        "received a message with the unknown format {format:?}; upgrade the processor first, then the connector; no message was acknowledged, so the upgraded processor continues here"
    )]
    NewerMessage {
        /// The value of the message's `aqueduct.format` attribute.
        format: String,
    },
    /// What is pulled is not a Pub/Sub message.
    #[error(transparent)]
    Malformed(pubsub::Malformed),
    /// Pub/Sub rejects requests permanently.
    #[error(transparent)]
    PubSub(#[from] pubsub::Error),
    /// The tables reject rows permanently.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A table's stream lacks rows that had been reported as delivered.
    #[error(
        "the stream of table {table} is shorter than expected: rows that were written are missing; find them with `aqueduct reconcile`, repair the table, and start with an empty state"
    )]
    Gap {
        /// The table.
        table: String,
    },
    /// The state has outgrown `memory`.
    #[error(
        "the live state needs {bytes} bytes, more than state.memory; the largest flow is {flow} with {keys} keys; increase state.memory, shorten its window or allowed_lateness, or use fewer values in `by`"
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
        "cannot write the final checkpoint; its messages were not acknowledged and will be redelivered at the next start"
    )]
    LastCheckpoint,
    /// A task of the processor panicked or was aborted.
    #[error("a task of the processor ended unexpectedly ({0}); restart the processor; no data is lost")]
    Task(&'static str),
}

impl From<records::Unread> for ProcessorError {
    fn from(unread: records::Unread) -> Self {
        match unread {
            records::Unread::Malformed(malformed) => Self::Malformed(malformed),
            records::Unread::Newer(format) => Self::NewerMessage { format },
        }
    }
}
