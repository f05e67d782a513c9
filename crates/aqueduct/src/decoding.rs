//! Decodes records in a command that ends: it waits for the schema registry, where the connector would pause a partition.
//!
//! See [`connector::decode`] for the decoder.

use std::{sync::Arc, time::Duration};

use codec::{RejectCode, Schema, SchemaId, registry::Registry};
use connector::decode::{Decoder, Event, Undecoded};
use service::Metrics;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::{Declared, Open};

/// A decoder, and the registry that it waits for.
pub(crate) struct Decoding {
    decoder: Decoder,
    registry: Option<Registry>,
}

/// After how long a command reports what it waits for.
const SILENCE: Duration = Duration::from_secs(2);

impl Decoding {
    /// Decodes the records of the declared topics. Without `has_keys`, keys stay as they are.
    ///
    /// # Errors
    /// A file of `[schema_registry]` cannot be read.
    pub(crate) fn new(declared: &Declared, has_keys: bool) -> anyhow::Result<Self> {
        let Open { formats, registry } = declared.open(&Metrics::default())?;
        let registry = registry.map(|(registry, _)| registry);
        Ok(Self { decoder: Decoder::new(&formats, has_keys), registry })
    }

    /// Takes the envelope off the lines of files, which have no schema.
    pub(crate) fn of_lines(declared: &Declared) -> Self {
        Self { decoder: Decoder::new(&declared.of_lines(), false), registry: None }
    }

    /// As [`Decoder::schema_of_events`].
    pub(crate) fn schema_of_events(&mut self, topic: &str, schema: &Arc<dyn Schema>) -> Arc<dyn Schema> {
        self.decoder.schema_of_events(topic, schema)
    }

    /// Whether the headers of the topic's records are needed.
    pub(crate) fn wants_headers(&self, topic: &str) -> bool {
        self.decoder.wants_headers(topic)
    }

    /// Passes the event of a record to `use_event`, or the code of its reject. Waits until the registry has its schema;
    /// returns `None` if it was stopped before. Must be called within a Tokio runtime, on a thread that may block.
    ///
    /// # Errors
    /// The registry refuses to answer.
    pub(crate) fn decode<T>(
        &mut self,
        topic: &str,
        raw: &codec::Raw<'_>,
        stop: &CancellationToken,
        use_event: impl FnOnce(Result<Event<'_>, &'static str>) -> T,
    ) -> anyhow::Result<Option<T>> {
        loop {
            let id = match self.decoder.decode(topic, raw) {
                Ok(event) => return Ok(Some(use_event(Ok(event)))),
                Err(Undecoded::Reject(code, _)) => return Ok(Some(use_event(Err(code)))),
                Err(Undecoded::Waits(id)) => id,
            };
            // Only a schema of the registry has to be waited for.
            let Some(registry) = &self.registry else {
                return Ok(Some(use_event(Err(RejectCode::UnknownSchema.as_str()))));
            };
            if !wait(registry, &id, stop)? {
                return Ok(None);
            }
        }
    }
}

/// Waits for a schema; returns whether there is an answer.
fn wait(registry: &Registry, id: &SchemaId, stop: &CancellationToken) -> anyhow::Result<bool> {
    Handle::current().block_on(async {
        let answer = registry.wait_for(id);
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => return Ok(answer.map(|()| true)?),
            () = tokio::time::sleep(SILENCE) => {}
            () = stop.cancelled() => return Ok(false),
        }
        tracing::info!("waiting for the schema registry");
        tokio::select! {
            answer = answer => Ok(answer.map(|()| true)?),
            () = stop.cancelled() => Ok(false),
        }
    })
}
