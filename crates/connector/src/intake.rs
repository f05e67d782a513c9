//! From a record of Kafka to a batch for Pub/Sub. Records are decoded and anonymised on the thread that polls them, so that
//! raw bytes never leave it.

use event::Partition;
use kafka::{Admission, Record, Slot};
use pubsub::Encoder;
use service::metrics::{Counter, Family};

use crate::{
    anonymise::{Anonymiser, Raw},
    batch::{Batch, BatchBuilder},
    decode::{Decoder, Event, Undecoded},
    message::{Message, Origin},
    metrics::Label,
};

/// Decodes and anonymises records, and fills batches.
pub(crate) struct Intake {
    decoder: Decoder,
    anonymiser: Anonymiser,
    encoder: Encoder,
    builder: BatchBuilder,
    new_fields: Family<Label, Counter>,
}

impl Intake {
    /// No batch is larger than `batch_limit` bytes unless a single message is.
    pub(crate) fn new(
        decoder: Decoder,
        anonymiser: Anonymiser,
        batch_limit: usize,
        new_fields: Family<Label, Counter>,
    ) -> Self {
        let builder = BatchBuilder::new(batch_limit);
        Self { decoder, anonymiser, encoder: Encoder::default(), builder, new_fields }
    }

    /// The headers that are needed to decode the record, or may pass.
    fn headers<'a>(&self, record: &Record<'a>, topic: &str) -> Vec<(&'a str, &'a [u8])> {
        if self.decoder.wants_headers(topic) {
            return record.headers().collect();
        }
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
        let topic = &origin.partition().topic;
        let headers = self.headers(record, topic);
        let bytes = codec::Raw { key: record.key, value: record.value, headers: &headers };
        let message = match self.decoder.decode(topic, &bytes) {
            Err(Undecoded::Waits(_)) => return Admission::Waits,
            Err(Undecoded::Reject(code, _)) => Err((code, None)),
            Ok(Event { key, value, schema }) => {
                if let Some(schema) = schema {
                    warn_added(topic, self.anonymiser.fields_added(topic, schema), &self.new_fields);
                }
                let raw = Raw { topic, value, key: key.as_deref(), headers: &headers };
                let timestamp = record.timestamp.map(|timestamp| timestamp.0);
                match self.anonymiser.anonymise_decoded(&raw, schema) {
                    Ok(None) => Ok(None),
                    Ok(Some(event)) => {
                        Message::new(&mut self.encoder, &event, origin, record.offset, timestamp)
                            .map(Some)
                            .map_err(|code| (code, None))
                    }
                    Err(reject) => Err((reject.code.as_str(), reject.pointer)),
                }
            }
        };
        let mut full = None;
        match message {
            Err((code, pointer)) => self.builder.reject(slot, record.offset, code, pointer),
            Ok(None) => self.builder.filtered(slot, record.offset),
            Ok(Some(message)) => {
                if self.builder.is_full_for(message.wire_len()) {
                    full = self.builder.take();
                }
                self.builder.data(slot, record.offset, message);
            }
        }
        // If the batch before this record is full, the one that begins with it is not.
        let full = full.or_else(|| if self.builder.is_full() { self.builder.take() } else { None });
        Admission::Taken(full)
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

/// A new schema has fields that the configuration does not name, and everything passes. Their names are not logged.
fn warn_added(topic: &str, fields: usize, metric: &Family<Label, Counter>) {
    if fields == 0 {
        return;
    }
    metric.get_or_create(&[("topic", topic.to_owned())]).inc_by(fields as u64);
    tracing::warn!(
        topic,
        fields,
        action = "find them with `aqueduct check`; if they are personal data, name them in anonymise.pseudonymise or anonymise.remove, or write a list in anonymise.forward",
        "a later schema of the topic has fields that pass because anonymise.forward is \"all\""
    );
}
