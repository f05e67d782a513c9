//! From a record of Kafka to a batch for Pub/Sub. Records are decoded and anonymised on the thread that polls them, so that
//! raw bytes never leave it.

use std::time::Duration;

use event::Partition;
use kafka::{Admission, Record, Slot};
use pubsub::{Encoder, limits};
use service::metrics::{Counter, Family};

use crate::{
    anonymise::{Anonymised, Anonymiser, Raw},
    batch::{Batch, BatchBuilder},
    decode::{Decoder, Event, Undecoded},
    message::{Message, Origin},
    metrics::Label,
    packing::{Packing, Packs},
};

/// Decodes and anonymises records, and fills batches.
pub(crate) struct Intake {
    decoder: Decoder,
    anonymiser: Anonymiser,
    encoder: Encoder,
    builder: BatchBuilder,
    /// `None` if each record has its own message.
    packs: Option<(Packing, Packs)>,
    /// Of batches with packs, before they are compressed.
    batch_limit: usize,
    new_fields: Family<Label, Counter>,
}

impl Intake {
    /// No batch is larger than `batch_limit` bytes unless a single message is.
    pub(crate) fn new(
        decoder: Decoder,
        anonymiser: Anonymiser,
        batch_limit: usize,
        packing: Option<Packing>,
        new_fields: Family<Label, Counter>,
    ) -> Self {
        let builder = BatchBuilder::new(batch_limit);
        // The last event that fits may be as large as a pack takes.
        let batch_limit = batch_limit.min(limits::MAX_BYTES / 2);
        let packs = packing.map(|packing| (packing, Packs::default()));
        Self { decoder, anonymiser, encoder: Encoder::default(), builder, packs, batch_limit, new_fields }
    }

    /// Adds an event that may be published; an error has the code of the reject.
    fn add(
        &mut self,
        event: &Anonymised,
        (slot, origin): (&Slot, &Origin),
        (offset, timestamp): (u64, Option<i64>),
    ) -> Result<Option<Batch>, &'static str> {
        if let Some((_, packs)) = self.packs.as_mut().filter(|_| Packs::takes(event)) {
            let finished = packs.push(&mut self.encoder, (slot, origin), (offset, timestamp), event);
            self.builder.packed(slot, offset);
            if let Some((slot, offsets, message)) = finished {
                self.builder.message(&slot, offsets.iter(), message);
            }
            return Ok(None);
        }
        let message = Message::new(&mut self.encoder, event, origin, offset, timestamp)?;
        let is_full = self.has_no_room_for(message.wire_len());
        let full = if is_full { self.take_batch() } else { None };
        self.builder.data(slot, offset, message);
        Ok(full)
    }

    /// Whether the batch has to be taken before a message of this size is added.
    fn has_no_room_for(&self, bytes: usize) -> bool {
        match &self.packs {
            Some((_, packs)) if packs.len() > 0 => {
                self.builder.bytes() + packs.bytes() + bytes > self.batch_limit
            }
            _ => self.builder.is_full_for(bytes),
        }
    }

    /// Whether the batch has to be taken now.
    fn is_full(&self) -> bool {
        let has_enough = |packs: &Packs| {
            self.builder.messages() + packs.len() >= limits::MAX_MESSAGES
                || self.builder.bytes() + packs.bytes() >= self.batch_limit
        };
        self.builder.is_full() || self.packs.as_ref().is_some_and(|(_, packs)| has_enough(packs))
    }

    fn take_batch(&mut self) -> Option<Batch> {
        if let Some((_, packs)) = &mut self.packs {
            for (slot, offsets, message) in packs.finish(&mut self.encoder) {
                self.builder.message(&slot, offsets.iter(), message);
            }
        }
        self.builder.take()
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
        let taken = match self.decoder.decode(topic, &bytes) {
            Err(Undecoded::Waits(_)) => return Admission::Waits,
            Err(Undecoded::Reject(code, _)) => Err((code, None)),
            Ok(Event { key, value, schema }) => {
                if let Some(schema) = schema {
                    warn_added(topic, self.anonymiser.fields_added(topic, schema), &self.new_fields);
                }
                let raw = Raw { topic, value, key: key.as_deref(), headers: &headers };
                self.anonymiser
                    .anonymise_decoded(&raw, schema)
                    .map_err(|reject| (reject.code.as_str(), reject.pointer))
            }
        };
        let (offset, timestamp) = (record.offset, record.timestamp.map(|timestamp| timestamp.0));
        let added = match taken {
            Ok(Some(event)) => {
                self.add(&event, (slot, origin), (offset, timestamp)).map_err(|code| (code, None))
            }
            Ok(None) => {
                self.builder.filtered(slot, offset);
                Ok(None)
            }
            Err(reject) => Err(reject),
        };
        let full = added.unwrap_or_else(|(code, pointer)| {
            self.builder.reject(slot, offset, code, pointer);
            None
        });
        // If the batch before this record is full, the one that begins with it is not.
        let full = full.or_else(|| if self.is_full() { self.take_batch() } else { None });
        Admission::Taken(full)
    }

    fn linger(&self) -> Option<Duration> {
        self.packs.as_ref().map(|(packing, _)| packing.linger)
    }

    fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    fn close(&mut self) -> Option<Batch> {
        self.take_batch()
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
