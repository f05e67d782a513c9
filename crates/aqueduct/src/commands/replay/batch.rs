//! Lines of a file, from bytes to digests: the part of a replay that does not depend on the order.
//!
//! See [`super::session`] for counting, and [`super::files`] for the threads.

use std::sync::Arc;

use codec::Schema;
use connector::{
    anonymise::{Anonymiser, MAX_EVENT_BYTES, Raw, RejectCode},
    decode::{Decoder, Undecoded},
};
use event::EventTime;
use processor::{
    digest::{Digests, Refusal},
    read::{Envelope, Reader},
};

use crate::input::Block;

/// Lines that are read together, passed from the counting thread to a reading thread and back.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) block: Block,
    /// How many lines it has, with the blank ones.
    pub(super) passed: u64,
    /// The lines that are not blank.
    pub(super) lines: Vec<ReadLine>,
    /// The events among the lines.
    pub(super) digests: Digests,
}

/// One line. Small, because it moves between the caches of threads.
#[derive(Debug)]
pub(super) struct ReadLine {
    /// In its batch, from 1.
    pub(super) number: u64,
    pub(super) content: Content,
}

/// The content of a line.
#[derive(Debug)]
pub(super) enum Content {
    /// The next event.
    Event,
    /// A record that no flow can read.
    Refused(Box<Refusal>),
    /// A record that the filter excludes.
    Filtered,
    /// A record that the anonymiser rejects.
    Rejected(Box<Rejected>),
}

/// The reason, and the declared pointer that it refers to.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) reason: &'static str,
    pub(super) pointer: Option<Arc<str>>,
}

/// The state of a thread that reads lines.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    /// Unwraps envelopes.
    pub(super) decoder: Decoder,
    /// `None` if events are not anonymised.
    pub(super) anonymiser: Option<Anonymiser>,
    pub(super) reader: Reader,
    /// The time against which future events are checked.
    pub(super) now: EventTime,
}

impl Worker {
    /// Reads all lines of a batch.
    pub(super) fn read(&mut self, batch: &mut Batch, topic: &str, schema: Option<&Arc<dyn Schema>>) {
        let schema = schema.map(|schema| self.decoder.schema_of_events(topic, schema));
        let Batch { block, passed, lines: read, digests } = batch;
        read.clear();
        digests.clear();
        let mut lines = block.lines();
        for line in lines.by_ref() {
            let content = match line.bytes {
                Ok(bytes) => self.line(bytes, topic, schema.as_ref(), digests),
                Err(reason) => rejected(reason, None),
            };
            read.push(ReadLine { number: line.number, content });
        }
        *passed = lines.passed();
    }

    fn line(
        &mut self,
        bytes: &[u8],
        topic: &str,
        schema: Option<&Arc<dyn Schema>>,
        digests: &mut Digests,
    ) -> Content {
        let envelope = Envelope { topic, kafka_time: None, publish_time: self.now };
        let anonymised;
        let payload = match &mut self.anonymiser {
            // An event that was anonymised earlier is not larger than this, either.
            None if bytes.len() > MAX_EVENT_BYTES => return rejected(RejectCode::TooLarge.as_str(), None),
            None => bytes,
            Some(anonymiser) => {
                let line = codec::Raw { key: None, value: Some(bytes), headers: &[] };
                let value = match self.decoder.decode(topic, &line) {
                    Ok(event) => event.value,
                    Err(Undecoded::Reject(code, _)) => return rejected(code, None),
                    Err(Undecoded::Waits(_)) => unreachable!("a line has no schema in a registry"),
                };
                let raw = Raw { topic, value, key: None, headers: &[] };
                match anonymiser.anonymise_decoded(&raw, schema) {
                    Ok(None) => return Content::Filtered,
                    Ok(Some(event)) => {
                        anonymised = event;
                        anonymised.data()
                    }
                    Err(reject) => return rejected(reject.code.as_str(), reject.pointer),
                }
            }
        };
        match self.reader.read(payload, &envelope, digests) {
            Ok(()) => Content::Event,
            Err(refusal) => Content::Refused(Box::new(refusal)),
        }
    }
}

fn rejected(reason: &'static str, pointer: Option<Arc<str>>) -> Content {
    Content::Rejected(Box::new(Rejected { reason, pointer }))
}
