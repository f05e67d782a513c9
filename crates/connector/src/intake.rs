//! From a record of Kafka to a batch for Pub/Sub. Records are anonymised on the thread that polls them, so that raw bytes
//! never leave it.

use event::Partition;
use kafka::{Admission, Record, Slot};
use pubsub::Encoder;

use crate::{
    anonymise::{Anonymiser, Raw},
    batch::{Batch, BatchBuilder},
    message::{Message, Origin},
};

/// Anonymises records and fills batches.
pub(crate) struct Intake {
    anonymiser: Anonymiser,
    encoder: Encoder,
    builder: BatchBuilder,
}

impl Intake {
    /// No batch is larger than `batch_limit` bytes unless a single message is.
    pub(crate) fn new(anonymiser: Anonymiser, batch_limit: usize) -> Self {
        Self { anonymiser, encoder: Encoder::default(), builder: BatchBuilder::new(batch_limit) }
    }

    /// The headers that may pass and have a value.
    fn headers<'a>(&self, record: &Record<'a>) -> Vec<(&'a str, &'a [u8])> {
        let wanted = self.anonymiser.headers();
        if wanted.is_empty() {
            return Vec::new();
        }
        record.headers().filter(|(key, _)| wanted.iter().any(|name| **name == **key)).collect()
    }
}

impl kafka::Intake for Intake {
    type Origin = Origin;
    type Batch = Batch;

    fn origin(&self, partition: Partition) -> Origin {
        Origin::new(partition)
    }

    fn take(&mut self, record: &Record<'_>, slot: &Slot, origin: &Origin) -> Admission<Batch> {
        let headers = self.headers(record);
        let topic = &origin.partition().topic;
        let raw = Raw { topic, value: record.value, key: record.key, headers: &headers };
        let timestamp = record.timestamp.map(|timestamp| timestamp.0);
        let message = self
            .anonymiser
            .anonymise(&raw)
            .map_err(|reject| (reject.code.as_str(), reject.pointer))
            .and_then(|anonymised| {
                Message::new(&mut self.encoder, &anonymised, origin, record.offset, timestamp)
                    .map_err(|code| (code, None))
            });
        let mut full = None;
        match message {
            Err((code, pointer)) => self.builder.reject(slot, record.offset, code, pointer),
            Ok(message) => {
                if self.builder.is_full_for(message.wire_len()) {
                    full = self.builder.take();
                }
                self.builder.data(slot, record.offset, message);
            }
        }
        // If the batch before this record is full, the one that begins with it is not.
        Admission::Taken(full.or_else(|| if self.builder.is_full() { self.builder.take() } else { None }))
    }

    fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    fn close(&mut self) -> Option<Batch> {
        self.builder.take()
    }

    fn bytes(batch: &Batch) -> usize {
        batch.bytes
    }
}
