//! Reads a payload into a digest, in one pass over its bytes for all flows.
//!
//! A digest does not depend on any other event. [`crate::engine`] decides whether the event is late or a duplicate.

mod slots;

use std::ops::RangeInclusive;

use event::{
    EventTime, Millis,
    events::{EventsSettings, event_time},
    key,
    pick::{Picker, Scratch, Value},
    pointer::Pointer,
};

use flow::{Flow, TimeKind, matching::Subject, measure::Input, number::Amount};
use xxhash_rust::xxh3::xxh3_64;

use crate::digest::{Digests, HashedKey, Head, JoinValues, Part, Refusal, identity, scoped_identity};

use self::slots::{FlowSlots, InputSlot, JoinSlots, MatchSlots, Slots, TopicSlots};

/// Tables can hold times from the year 1 to the year 9999, see `writer::stamp`.
const FIRST: EventTime = EventTime(-62_135_596_800_000);
const LAST: EventTime = EventTime(253_402_300_799_999);

/// Reads events for a fixed set of flows.
#[derive(Clone, Debug)]
pub struct Reader {
    picker: Picker,
    /// The slots of topics with their own pointers, followed by the general ones.
    topics: Vec<TopicSlots>,
    flows: Vec<FlowSlots>,
    future: Millis,
    /// The times whose windows tables can hold, in every flow.
    range: RangeInclusive<EventTime>,
    scratch: Scratch,
}

/// The attributes of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The Kafka topic; empty without a position.
    pub topic: &'a str,
    /// The record's timestamp; `None` if it is missing or not positive.
    pub kafka_time: Option<EventTime>,
    /// When Pub/Sub received it; for a file, the current time.
    pub publish_time: EventTime,
}

/// 2011-01-01T00:00:00Z, the month of Kafka's first release. No record is older, so an earlier timestamp is wrong (for
/// example a number of seconds), and the event time is not refused because of it.
const FIRST_KAFKA: EventTime = EventTime(1_293_840_000_000);

impl Reader {
    /// Creates a reader for these flows.
    pub fn new(events: &EventsSettings, flows: &[Flow]) -> Self {
        let mut slots = Slots::default();
        let mut topics: Vec<TopicSlots> =
            events.topics.keys().map(|topic| slots.topic(events, Some(topic))).collect();
        topics.push(slots.topic(events, None));
        let longest = flows.iter().map(|flow| flow.windows.longest().0).max().unwrap_or_default();
        let range = EventTime(FIRST.0.saturating_add(longest))..=EventTime(LAST.0.saturating_sub(longest));
        let flows = flows.iter().map(|flow| slots.flow(flow)).collect();
        let picker = Picker::new(&slots.pointers);
        Self { picker, topics, flows, future: events.future, range, scratch: Scratch::default() }
    }

    /// Reads one payload and adds its digest to a batch, which only this reader may fill.
    ///
    /// # Errors
    /// Returns a refusal if the payload is not a JSON object, and adds nothing.
    pub fn read(
        &mut self,
        payload: &[u8],
        envelope: &Envelope<'_>,
        into: &mut Digests,
    ) -> Result<(), Refusal> {
        let mut values = self.scratch.take();
        let picked = self
            .picker
            .pick(payload, &mut self.scratch, &mut values)
            .map(|()| self.digest(&values, envelope, into));
        self.scratch.put(values);
        picked.map_err(|error| Refusal { reason: error.kind.code(), pointer: None })
    }

    fn digest(&self, values: &[Value<'_>], envelope: &Envelope<'_>, into: &mut Digests) {
        let general = self.topics.len() - 1;
        let named = || self.topics.iter().find(|t| t.topic.as_deref() == Some(envelope.topic));
        let slots = if general == 0 { None } else { named() }.unwrap_or(&self.topics[general]);
        let time = self.time(&values[slots.time], slots, envelope);
        for flow in &self.flows {
            // A flow refuses an event with an invalid time before it looks at any other value.
            let is_timed = flow.time != TimeKind::Event || time.is_ok();
            let part = if is_timed { flow.part(values, envelope.topic, into) } else { Part::default() };
            into.parts.push(part);
        }
        into.flows = self.flows.len();
        let id = match slots.identity(values) {
            Ok(None) => u32::MAX,
            Ok(Some(id)) => into.add_id(Ok(id)),
            Err(refusal) => into.add_id(Err(refusal)),
        };
        into.heads.push(Head { time, id });
    }

    fn time(
        &self,
        value: &Value<'_>,
        slots: &TopicSlots,
        envelope: &Envelope<'_>,
    ) -> Result<EventTime, Box<Refusal>> {
        let refuse = |reason| refusal(reason, &slots.time_pointer);
        let time = event_time(value).ok_or_else(|| refuse("time"))?;
        if !self.range.contains(&time) {
            return Err(refuse("time-range"));
        }
        let newest = envelope.kafka_time.unwrap_or(envelope.publish_time) + self.future;
        if time <= newest {
            return Ok(time);
        }
        let is_odd = envelope.kafka_time.is_some_and(|kafka| kafka < FIRST_KAFKA);
        Err(refuse(if is_odd { "kafka-timestamp" } else { "future" }))
    }
}

impl TopicSlots {
    fn identity(&self, values: &[Value<'_>]) -> Result<Option<u128>, Box<Refusal>> {
        let Some((slot, pointer)) = &self.id else { return Ok(None) };
        let value = &values[*slot];
        if value.is_container() {
            return Err(refusal("unexpected-shape", pointer));
        }
        Ok(value.scalar().map(|id| scoped_identity(id, self.id_scope)))
    }
}

impl FlowSlots {
    /// Adds the part of one flow to a digest.
    fn part(&self, values: &[Value<'_>], topic: &str, into: &mut Digests) -> Part {
        let mut part = Part::default();
        if self.events.as_ref().is_some_and(|events| !events.hold(values, topic)) {
            return part;
        }
        let first = into.inputs.len();
        for fed in &self.fed {
            if fed.events.as_ref().is_some_and(|events| !events.hold(values, topic)) {
                continue;
            }
            match fed.input.as_ref().map(|input| input.read(values)) {
                None => part.feeds |= fed.bit,
                Some(Ok(Some(input))) => {
                    part.feeds |= fed.bit;
                    into.inputs.push(input);
                }
                // As in SQL, a missing or null value does not feed a measure.
                Some(Ok(None)) => {}
                Some(Err(refused)) => {
                    part.refusal.get_or_insert(refused);
                }
            }
        }
        part.inputs = (first as u32, into.inputs.len() as u32);
        if part.feeds == 0 {
            return part;
        }
        let mut takes_columns = false;
        if let Some(JoinSlots { view, click, views, clicks }) = self.join {
            let (is_view, is_click) = (part.feeds & views != 0, part.feeds & clicks != 0);
            let value = |wanted: bool, slot: usize| {
                let scalar = if wanted { values[slot].scalar() } else { None };
                scalar.map(identity)
            };
            part.join = into.joins.len() as u32;
            into.joins.push(JoinValues { view: value(is_view, view), click: value(is_click, click) });
            // A click that is not a view counts under the columns of its view. Its own columns are used only if its
            // value has reached the join's limit.
            takes_columns = is_click && !is_view;
        }
        let start = into.keys.len();
        for (slot, pointer) in &self.by {
            let value = &values[*slot];
            if value.is_container() && !takes_columns {
                part.refusal.get_or_insert_with(|| refusal("unexpected-shape", pointer));
                break;
            }
            key::push(value.scalar(), &mut into.keys);
        }
        part.key = (start as u32, into.keys.len() as u32);
        part.hash = HashedKey::new(&into.keys[start..]).hash;
        part
    }
}

impl InputSlot {
    /// The input of an event; `None` if it has no value.
    fn read(&self, values: &[Value<'_>]) -> Result<Option<Input>, Box<Refusal>> {
        let value = &values[self.slot];
        if value.is_absent() {
            return Ok(None);
        }
        let input = match value {
            Value::Number(number) if self.is_number => {
                Input::Number(Amount::parse(number).ok_or_else(|| refusal("number-range", &self.pointer))?)
            }
            _ if self.is_number => return Err(refusal("not-a-number", &self.pointer)),
            value => {
                let scalar = value.scalar().ok_or_else(|| refusal("unexpected-shape", &self.pointer))?;
                Input::Item(xxh3_64(scalar.as_bytes()))
            }
        };
        Ok(Some(input))
    }
}

impl MatchSlots {
    #[inline]
    fn hold(&self, values: &[Value<'_>], topic: &str) -> bool {
        self.of.terms.iter().zip(&self.slots).all(|(term, &slot)| match term.subject {
            Subject::Topic => term.any_of.contains_text(topic),
            Subject::At(_) => term.any_of.contains(&values[slot]),
        })
    }
}

#[cold]
fn refusal(reason: &'static str, pointer: &Pointer) -> Box<Refusal> {
    Box::new(Refusal { reason, pointer: Some(pointer.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks why an event at `time` is refused if its record has this Kafka timestamp.
    fn check(time: i64, kafka: Option<i64>, expected: Option<&str>) {
        let events: EventsSettings =
            serde_json::from_str(r#"{"time":"/time","future":"1h"}"#).expect("settings");
        let payload = format!("{{\"time\":{time}}}");
        let envelope =
            Envelope { topic: "t", kafka_time: kafka.map(EventTime), publish_time: EventTime(NOW) };
        let mut digests = Digests::default();
        Reader::new(&events, &[]).read(payload.as_bytes(), &envelope, &mut digests).expect("an object");
        let refusal = digests.heads[0].time.as_ref().err().map(|refusal| refusal.reason);
        assert_eq!(refusal, expected, "{time} {kafka:?}");
    }

    const NOW: i64 = 1_767_225_600_000;
    const HOUR: i64 = 3_600_000;

    #[test]
    fn an_odd_kafka_timestamp_has_its_own_reason() {
        for kafka in [1, NOW / 1_000, FIRST_KAFKA.0 - 1] {
            check(NOW, Some(kafka), Some("kafka-timestamp"));
        }
        check(NOW, Some(FIRST_KAFKA.0), Some("future"));
        check(NOW + HOUR + 1, Some(NOW), Some("future"));
        check(NOW + HOUR + 1, None, Some("future"));
        check(NOW + HOUR, Some(NOW), None);
        // The event is as old as its timestamp, so both are accepted.
        check(1, Some(1), None);
    }
}
