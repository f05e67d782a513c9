//! Messages that hold several records. See [`pubsub::pack`] for their layout.

use event::{EventTime, Partition};
use pubsub::pack::{self, Offsets};

use super::Stages;
use crate::{core::Data, error::ProcessorError, io::messages::kafka_time};

/// A message whose attributes name a format.
#[derive(Clone, Copy, Debug)]
pub struct PackMessage<'a> {
    /// The format.
    pub format: &'a [u8],
    /// The partition of the records.
    pub partition: Option<&'a Partition>,
    /// Their offsets, as the attribute has them.
    pub offsets: Option<&'a [u8]>,
    /// When Pub/Sub received it.
    pub publish_time: EventTime,
    /// The records.
    pub payload: &'a [u8],
}

/// The reason of each offset whose record a damaged pack should hold.
const DAMAGED: &str = "damaged-pack";

impl<A> Stages<A> {
    /// Applies the records of a pack, and returns how many; call [`Self::applied`] after all messages of a response. Each
    /// offset counts once, however the packs of a partition overlap. If the pack is damaged, each of its offsets is
    /// rejected; without attributes that name them, the message is.
    ///
    /// # Errors
    /// Returns an error if a newer connector wrote the message, which must not be acknowledged.
    pub fn pack(&mut self, message: &PackMessage<'_>, now: EventTime) -> Result<u64, ProcessorError> {
        if message.format != pack::FORMAT.as_bytes() {
            let format = String::from_utf8_lossy(message.format).into_owned();
            return Err(ProcessorError::NewerMessage { format });
        }
        let data = |position, kafka_time, payload| Data {
            position,
            kafka_time,
            publish_time: message.publish_time,
            payload,
        };
        let offsets = message.offsets.and_then(|text| str::from_utf8(text).ok()?.parse::<Offsets>().ok());
        let Some((partition, offsets)) = message.partition.zip(offsets) else {
            self.core.unreadable(&data(None, None, b""), DAMAGED, now);
            return Ok(1);
        };
        match self.unpacker.get_or_insert_default().unpack(&offsets, message.payload) {
            Ok(pack) => {
                for record in pack.records() {
                    let time = record.timestamp.and_then(kafka_time);
                    self.core.data(&data(Some((partition, record.offset)), time, record.event), now);
                }
            }
            Err(pack::Damaged) => {
                for offset in offsets.iter() {
                    self.core.unreadable(&data(Some((partition, offset)), None, b""), DAMAGED, now);
                }
            }
        }
        Ok(offsets.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use event::{Incarnation, Ledger, Millis, ledger::Outcome};
    use flow::{Flow, FlowSettings};
    use proptest::prelude::*;
    use pubsub::pack::PackBuilder;

    use super::*;
    use crate::{core::Core, frontier::Limits, outbox::Outbox};

    const NOW: EventTime = EventTime(1_700_000_000_000);

    fn partition() -> Partition {
        Partition { topic: "events".into(), incarnation: Incarnation::from("i"), partition: 0 }
    }

    fn stages() -> Stages<()> {
        let events = serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section");
        let flow: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "measures": { "n": { "count": {} } }, "window": { "size": "10s" },
        }))
        .expect("the flow");
        let flow = Flow::try_from(flow).expect("the flow is valid");
        let limits = Limits { idle_after: Millis(1), hole_limit: Millis(1), cold_start: Millis(1) };
        Stages::new(Core::new(&events, vec![flow], limits, NOW), Outbox::default())
    }

    /// Some events have no time, which the flow rejects.
    fn event(offset: u64) -> Vec<u8> {
        match offset % 7 {
            0 => format!("{{\"p\":\"{offset}\"}}").into_bytes(),
            page => format!("{{\"p\":\"{page}\",\"t\":{}}}", NOW.0 + offset as i64).into_bytes(),
        }
    }

    fn packed(offsets: impl Iterator<Item = u64>) -> (String, Vec<u8>) {
        let mut builder = PackBuilder::default();
        for offset in offsets {
            builder.push(offset, Some(NOW.0), (None, None), std::iter::empty(), &event(offset));
        }
        let (offsets, payload) = builder.finish();
        (offsets.to_string(), payload)
    }

    fn apply(stages: &mut Stages<()>, offsets: &str, payload: &[u8]) -> u64 {
        let partition = partition();
        let message = PackMessage {
            format: pack::FORMAT.as_bytes(),
            partition: Some(&partition),
            offsets: Some(offsets.as_bytes()),
            publish_time: NOW,
            payload,
        };
        stages.pack(&message, NOW).expect("a format that is known")
    }

    fn single(stages: &mut Stages<()>, offset: u64) {
        let (partition, payload) = (partition(), event(offset));
        let position = Some((&partition, offset));
        stages.data(&Data { position, kafka_time: Some(NOW), publish_time: NOW, payload: &payload }, NOW);
    }

    /// What is left of the messages: the ledger, and the offsets of the dead letters.
    fn outcome(mut stages: Stages<()>) -> (Ledger, Vec<u64>) {
        let mut letters: Vec<u64> =
            stages.core.take_effects().dead_letters.iter().map(|letter| letter.offset).collect();
        letters.sort_unstable();
        (stages.core.engine().flows()[0].ledger, letters)
    }

    proptest! {
        /// However the records are cut into packs and single messages, and however often they arrive.
        #[test]
        fn each_offset_counts_once(
            cuts in prop::collection::vec((0..80_u64, 1..30_u64, any::<bool>()), 1..30),
        ) {
            let (mut stages, mut expected) = (stages(), BTreeSet::new());
            for (from, length, is_single) in cuts {
                // With gaps: offsets that hold no record.
                let offsets = (from..from + length).filter(|offset| offset % 5 != 3);
                expected.extend(offsets.clone());
                if is_single {
                    offsets.for_each(|offset| single(&mut stages, offset));
                } else if offsets.clone().count() > 0 {
                    let (offsets, payload) = packed(offsets);
                    apply(&mut stages, &offsets, &payload);
                }
            }
            let mut naive = self::stages();
            expected.into_iter().for_each(|offset| single(&mut naive, offset));
            prop_assert_eq!(outcome(stages), outcome(naive));
        }
    }

    #[test]
    fn a_damaged_pack_rejects_each_of_its_offsets_once() {
        let mut stages = stages();
        let (offsets, mut payload) = packed((10..20).chain(22..25));
        payload.truncate(payload.len() - 1);
        assert_eq!(apply(&mut stages, &offsets, &payload), 13);
        apply(&mut stages, &offsets, &payload);
        // An intact copy that arrives later changes nothing: the first outcome counts.
        let (offsets, payload) = packed(10..26);
        apply(&mut stages, &offsets, &payload);
        let (ledger, letters) = outcome(stages);
        let ahead = [20, 21, 25];
        let counted = ahead.iter().filter(|offset| *offset % 7 != 0).count() as u64;
        assert_eq!(ledger.get(Outcome::Counted), counted);
        assert_eq!(ledger.get(Outcome::Rejected), 16 - counted);
        let refused: Vec<u64> =
            (10..26).filter(|offset| !ahead.contains(offset) || offset % 7 == 0).collect();
        assert_eq!(letters, refused);
    }

    #[test]
    fn a_pack_without_offsets_is_one_reject() {
        let mut stages = stages();
        let (_, payload) = packed(0..5);
        assert_eq!(apply(&mut stages, "5,x", &payload), 1);
        let (ledger, letters) = outcome(stages);
        assert_eq!((ledger.get(Outcome::Rejected), letters.len()), (1, 1));
    }

    #[test]
    fn an_unknown_format_is_an_error() {
        let message = PackMessage {
            format: b"pack-2",
            partition: Some(&partition()),
            offsets: Some(b"0,1"),
            publish_time: NOW,
            payload: b"",
        };
        assert!(matches!(stages().pack(&message, NOW), Err(ProcessorError::NewerMessage { .. })));
    }
}
