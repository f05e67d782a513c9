//! Why a connector ends on its own.

use crate::message::PublishError;

/// Why a connector ended. Nothing is lost by any of these: what was not committed is read again at the next start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// Kafka failed.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// More rejects than `max_rejects` allows.
    #[error(
        "{rejects} of the last 10,000 records were rejected, more than anonymise.max_rejects allows; no offset was committed past them; correct the producer or [anonymise]; most frequent: {reasons}"
    )]
    TooManyRejects {
        /// Within the last 10,000 records.
        rejects: u64,
        /// The most frequent codes with their counts.
        reasons: String,
    },
    /// Nothing can be published.
    #[error("cannot publish to Pub/Sub")]
    Publish {
        /// Pub/Sub's message.
        source: PublishError,
    },
    /// A task of the connector panicked.
    #[error("thread {0:?} ended unexpectedly; this is a bug, please report it")]
    Defect(&'static str),
}

/// The texts of an error and its sources, outermost first, each once; for log lines.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}
