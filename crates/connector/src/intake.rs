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
    /// Among how many shards readers divide the partitions.
    shards: u32,
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
        Self {
            decoder,
            anonymiser,
            encoder: Encoder::default(),
            builder,
            packs,
            batch_limit,
            new_fields,
            shards: 1,
        }
    }

    /// Names the shard of its partition in each message, if there is more than one.
    pub(crate) fn sharded(mut self, shards: u32) -> Self {
        self.shards = shards;
        self
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
        Origin::of_shards(partition, self.shards)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use event::Incarnation;
    use proptest::prelude::*;

    use super::*;
    use crate::{anonymise::AnonymiseSettings, decode::Formats};

    fn intake(limit: usize, packing: Option<Packing>) -> Intake {
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
        let decoder = Decoder::new(&Formats::default(), false);
        Intake::new(decoder, anonymiser, limit, packing, Family::default())
    }

    /// Records of these partitions with events of these sizes, as batches.
    fn batches(mut intake: Intake, records: &[(usize, usize)]) -> Vec<Batch> {
        let (mut places, mut batches) = (BTreeMap::new(), Vec::new());
        for (number, size) in records {
            let (slot, origin, offset) = places.entry(*number).or_insert_with(|| {
                let (topic, partition) = ("t".into(), *number as i32);
                let incarnation = Incarnation::from("i");
                let slot = Slot { topic: "t".into(), partition, generation: *number as u64 };
                (slot, Origin::new(Partition { topic, incarnation, partition }), 0)
            });
            let value = format!("{{\"a\":\"{}\"}}", "x".repeat(*size));
            let raw = Raw { topic: "t", value: Some(value.as_bytes()), key: None, headers: &[] };
            let event = intake.anonymiser.anonymise(&raw).expect("an event");
            batches
                .extend(intake.add(&event, (slot, origin), (*offset, Some(7))).expect("within the limits"));
            if intake.is_full() {
                batches.extend(intake.take_batch());
            }
            *offset += 1;
        }
        batches.extend(intake.take_batch());
        batches
    }

    fn check(packing: Option<Packing>, limit: usize, records: &[(usize, usize)]) {
        let mut next = BTreeMap::new();
        for batch in batches(intake(limit, packing), records) {
            assert!(batch.messages.len() <= limits::MAX_MESSAGES, "{} messages", batch.messages.len());
            let bytes: usize = batch.messages.iter().map(Message::wire_len).sum();
            assert_eq!(bytes, batch.bytes);
            assert!(bytes <= limits::MAX_BYTES || batch.messages.len() == 1, "{bytes} bytes");
            let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for message in 0..batch.messages.len() {
                for (slot, offset) in batch.records(message) {
                    found.entry(slot.generation).or_default().push(offset);
                }
            }
            for (generation, mut offsets) in found {
                offsets.sort_unstable();
                let from = next.entry(generation).or_insert(0);
                let to = *from + offsets.len() as u64;
                assert!(offsets.into_iter().eq(*from..to), "each record has a message, once");
                *from = to;
            }
            assert_eq!(batch.read.records, batch.places.len() as u64);
        }
        assert_eq!(next.values().sum::<u64>(), records.len() as u64);
    }

    const PACKING: Option<Packing> = Some(Packing { linger: Duration::from_millis(50) });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_batch_fits_a_request(
            partitions in prop_oneof![Just(1_usize), Just(6), Just(1_500)],
            sizes in prop::collection::vec(
                prop_oneof![60 => 0..300_usize, 2 => 200_000..300_000_usize, 1 => 1_000_000..6_000_000_usize], 1..40,
            ),
            limit in prop_oneof![Just(20_000_usize), Just(8 << 20), Just(64 << 20)],
            is_packed in any::<bool>(),
        ) {
            // Enough of them for more than a request.
            let sizes = sizes.iter().cycle().take(sizes.len().max(2_500 / (1 + sizes.iter().sum::<usize>() / 30_000)));
            let records: Vec<(usize, usize)> =
                sizes.enumerate().map(|(number, size)| (number * 7 % partitions, *size)).collect();
            check(PACKING.filter(|_| is_packed), limit, &records);
        }
    }

    #[test]
    fn many_records_are_one_message() {
        let records = vec![(0, 100); 5_000];
        let batches = batches(intake(8 << 20, PACKING), &records);
        let messages: usize = batches.iter().map(|batch| batch.messages.len()).sum();
        assert_eq!((batches.len(), messages), (1, 1));
        // A pack ends at 1 MiB, and the next one begins in the same batch.
        let batches = self::batches(intake(8 << 20, PACKING), &vec![(0, 1_000); 5_000]);
        let messages: usize = batches.iter().map(|batch| batch.messages.len()).sum();
        assert_eq!((batches.len(), messages), (1, 5));
        // Beyond the limit an event is alone.
        let batches = self::batches(intake(8 << 20, PACKING), &[(0, 10), (0, 300 << 10), (0, 10)]);
        assert_eq!((batches.len(), batches[0].messages.len()), (1, 2));
        assert_eq!(batches[0].records(1).map(|(_, offset)| offset).collect::<Vec<_>>(), [0, 2]);
    }
}
