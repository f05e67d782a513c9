//! Data messages: an anonymised record and its position, as it is published.
//!
//! A [`Message`] is made from an [`Anonymised`] and nothing else, and [`Publish`] accepts nothing else, so a record
//! that was not anonymised cannot be published.

use std::{error::Error, fmt, future::Future};

use event::{Mark, Partition, wire};
use pubsub::{Attributes, Encoder, OutMessage, limits::Violation};

use crate::{
    anonymise::{Anonymised, RejectCode},
    outgoing::Lane,
};

/// One data message.
#[derive(Clone, Debug)]
pub struct Message {
    out: OutMessage,
    lane: Lane,
}

/// A partition, with the attributes that all its messages share.
#[derive(Clone, Debug)]
pub struct Origin {
    partition: Partition,
    attributes: Attributes,
    /// What the IDs of its records begin with.
    id_prefix: String,
}

/// Publishes batches and marks; one attempt for each call.
pub trait Publish: Clone + Send + Sync + 'static {
    /// Publishes messages of one lane in one request. Returns when Pub/Sub has all of them.
    fn publish(&self, batch: &[Message]) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Publishes a mark. Returns when Pub/Sub has it.
    fn publish_mark(&self, mark: &Mark) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Why an attempt to publish failed.
#[derive(Debug)]
pub enum PublishError {
    /// A temporary failure: retry the same request.
    Unavailable(Cause),
    /// Pub/Sub refuses this request, and a retry does not help.
    Refused(Cause),
    /// Nothing can be published: a topic or a permission is missing.
    Impossible(Cause),
}

/// The message of the publisher.
pub type Cause = Box<dyn Error + Send + Sync>;

impl Message {
    /// The message for a record. `timestamp` is Kafka's, in milliseconds, if the record has one.
    ///
    /// # Errors
    /// The code of the reject, if Pub/Sub would refuse the message.
    pub fn new(
        encoder: &mut Encoder,
        anonymised: &Anonymised,
        origin: &Origin,
        offset: u64,
        timestamp: Option<i64>,
    ) -> Result<Self, &'static str> {
        let [mut place, mut time] = [itoa::Buffer::new(); 2];
        let offset = place.format(offset);
        let (data, lane) = (anonymised.data(), anonymised.lane());
        let mut message = encoder.begin(data, &origin.attributes);
        message.attribute(wire::OFFSET, &[offset]);
        message.attribute(wire::ID, &[&origin.id_prefix, offset]);
        if let Some(timestamp) = timestamp {
            message.attribute(wire::TIMESTAMP, &[time.format(timestamp)]);
        }
        if let Some(key) = anonymised.kafka_key() {
            message.attribute(wire::KEY, &[key]);
        }
        if let Some(id) = anonymised.key_id() {
            message.attribute(wire::KEY_ID, &[id]);
        }
        for (name, value) in anonymised.headers() {
            message.attribute(name, &[value]);
        }
        match message.finish(lane.key()) {
            Ok(out) => Ok(Self { out, lane: lane.clone() }),
            Err(Violation::TooLarge | Violation::Empty) => Err(RejectCode::TooLarge.as_str()),
            Err(_) => Err(RejectCode::AttributeTooLarge.as_str()),
        }
    }

    /// Of a pack, whose events are anonymised.
    pub(crate) fn of_pack(out: OutMessage) -> Self {
        Self { out, lane: Lane::default() }
    }

    /// Size in a publish request, in bytes.
    pub fn wire_len(&self) -> usize {
        self.out.wire_len()
    }

    /// Where it goes, and after which other messages.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// The encoded message for the Pub/Sub client.
    pub fn out(&self) -> &OutMessage {
        &self.out
    }
}

impl Origin {
    /// Encodes the attributes that all messages of a partition share.
    pub fn new(partition: Partition) -> Self {
        Self::of_shards(partition, 1)
    }

    /// As [`Self::new`], with an attribute for the shard of the partition, if there is more than one shard.
    pub fn of_shards(partition: Partition, shards: u32) -> Self {
        Self::with(partition, shards, &[])
    }

    /// As [`Self::of_shards`], for rejected records that the redrive with this number publishes again.
    pub fn redriven(partition: Partition, shards: u32, number: u64) -> Self {
        let mut text = itoa::Buffer::new();
        Self::with(partition, shards, &[(wire::FORMAT, wire::REDRIVEN), (wire::REDRIVE, text.format(number))])
    }

    fn with(partition: Partition, shards: u32, more: &[(&str, &str)]) -> Self {
        let [mut number, mut shard] = [itoa::Buffer::new(); 2];
        let shared = [
            (wire::TOPIC, &*partition.topic),
            (wire::PARTITION, number.format(partition.partition)),
            (wire::INCARNATION, &*partition.incarnation.0),
        ];
        let shard = (wire::SHARD, shard.format(wire::shard(partition.partition, shards)));
        let shard = (shards > 1).then_some(shard);
        let attributes = Attributes::new(shared.into_iter().chain(shard).chain(more.iter().copied()));
        let attributes = attributes.expect("a topic's name has at most 249 bytes");
        Self { attributes, id_prefix: wire::id_prefix(&partition), partition }
    }

    /// The partition.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The attributes of all its messages.
    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unavailable(cause) | Self::Refused(cause) | Self::Impossible(cause)) = self;
        cause.fmt(f)
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::Unavailable(cause) | Self::Refused(cause) | Self::Impossible(cause)) = self;
        cause.source()
    }
}

#[cfg(test)]
mod tests {
    use event::Incarnation;

    use super::*;
    use crate::{
        anonymise::{AnonymiseSettings, Anonymiser, MAX_EVENT_BYTES, Raw},
        outgoing::Outgoing,
    };

    #[test]
    fn every_accepted_event_fits_a_message() {
        let names: Vec<String> = (0..90).map(|n| format!("h{n}")).collect();
        let section = format!("forward = \"all\"\nkey = \"forward\"\nheaders = {names:?}");
        let settings: AnonymiseSettings = toml::from_str(&section).expect("settings");
        let pubsub = "project = 'test-project'\ntopic = 'events'\nordering_key = '/k'";
        let outgoing = Outgoing::new(&toml::from_str(pubsub).expect("settings"));
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules").with_outgoing(outgoing);
        let headers: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &[b'v'; 1_024][..])).collect();
        let event = |bytes: usize| {
            let key = "k".repeat(pubsub::limits::MAX_KEY_BYTES);
            format!("{{\"k\":\"{key}\",\"a\":\"{}\"}}", "x".repeat(bytes)).into_bytes()
        };
        let mut pass = |value: &[u8]| {
            anonymiser.anonymise(&Raw { topic: "t", value: Some(value), key: Some(b"k"), headers: &headers })
        };
        let least = pass(&event(0)).expect("small").size();
        let event = pass(&event(MAX_EVENT_BYTES - least)).expect("at the limit");
        assert_eq!(event.size(), MAX_EVENT_BYTES);
        let partition = Partition {
            topic: "t".repeat(249).into(),
            incarnation: Incarnation::from(&*format!("{}+{}", "i".repeat(22), u32::MAX)),
            partition: i32::MAX,
        };
        let origin = Origin::new(partition);
        let message = Message::new(&mut Encoder::default(), &event, &origin, u64::MAX, Some(i64::MAX));
        let spare = pubsub::limits::MAX_BYTES - message.expect("a message").wire_len();
        // The ID of a key is missing here.
        assert!((100..2_048).contains(&spare), "{spare}");
    }
}
