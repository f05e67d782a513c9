//! `[pubsub] topic` and `ordering_key`: where events are published, and in which order.
//!
//! It reads events as they are published, so a value that may not pass is never part of a lane.

use std::{collections::BTreeMap, fmt, sync::Arc};

use event::{
    Picker, Pointer,
    pick::{Scratch, Value},
};
use pubsub::{PubSubSettings, limits::MAX_KEY_BYTES};

use crate::anonymise::{Reject, RejectCode, canonical_number};

/// Messages of one lane are published in order. A request holds messages of one lane only.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// The position in the list of topics.
    topic: usize,
    /// `None` instead of an empty key: comparing two empty texts is slow, because glibc reads even the zero bytes at their
    /// address, where no memory is.
    key: Option<Box<str>>,
}

/// Finds the lanes of events; one for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    /// `None` if there is one topic.
    topic: Option<Selector>,
    /// The field of the ordering key.
    key: Option<Arc<str>>,
    /// Reads the field of the topic, then that of the key. `None` if all events have the same lane.
    picker: Option<Picker>,
    scratch: Scratch,
}

/// The field that selects the topic, and the topic of each value.
#[derive(Clone, Debug)]
struct Selector {
    pointer: Arc<str>,
    topics: BTreeMap<Arc<str>, usize>,
}

impl Lane {
    /// The position of the topic in the list of topics for events.
    pub fn topic(&self) -> usize {
        self.topic
    }

    /// The ordering key; empty if the event has none.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }
}

/// The content does not belong in a log.
impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("topic", &self.topic).field("key_bytes", &self.key().len()).finish()
    }
}

impl Lanes {
    pub(crate) fn new(settings: &PubSubSettings) -> Self {
        let route = settings.route();
        let pointers: Vec<Pointer> =
            route.iter().map(|route| &route.pointer).chain(&settings.ordering_key).cloned().collect();
        let outputs = settings.outputs().into_iter().enumerate();
        let topics = outputs.filter_map(|(number, output)| Some((output.value?, number))).collect();
        Self {
            topic: route.map(|route| Selector { pointer: route.pointer.as_str().into(), topics }),
            key: settings.ordering_key.as_ref().map(|pointer| pointer.as_str().into()),
            picker: (!pointers.is_empty()).then(|| Picker::new(&pointers)),
            scratch: Scratch::default(),
        }
    }

    /// Whether messages are published in order.
    pub(crate) fn are_ordered(&self) -> bool {
        self.key.is_some()
    }

    /// The lane of an anonymised event.
    pub(crate) fn of(&mut self, event: &[u8]) -> Result<Lane, Reject> {
        let Some(picker) = &self.picker else { return Ok(Lane::default()) };
        let mut values = self.scratch.take();
        let picked = picker.pick(event, &mut self.scratch, &mut values);
        picked.expect("an anonymised event is a JSON object");
        let lane = self.chosen(&values);
        self.scratch.put(values);
        lane
    }

    fn chosen(&self, values: &[Value<'_>]) -> Result<Lane, Reject> {
        let (mut lane, mut values) = (Lane::default(), values.iter());
        if let Some(Selector { pointer, topics }) = &self.topic {
            let topic = values.next().and_then(text).and_then(|value| topics.get(&*value).copied());
            lane.topic = topic.ok_or_else(|| Reject::published(RejectCode::UndeclaredTopic, pointer))?;
        }
        if let (Some(pointer), Some(value)) = (&self.key, values.next()) {
            lane.key = ordering_key(pointer, value)?;
        }
        Ok(lane)
    }
}

fn ordering_key(pointer: &Arc<str>, value: &Value<'_>) -> Result<Option<Box<str>>, Reject> {
    let reject = || Reject::published(RejectCode::OrderingKey, pointer);
    if value.is_absent() {
        return Ok(None);
    }
    let key = text(value).filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(reject)?;
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// The text of a scalar; equal numbers have the same text. `None` for anything else.
fn text(value: &Value<'_>) -> Option<Box<str>> {
    match value {
        Value::Number(number) => Some(canonical_number(number)?.into()),
        value => Some(value.scalar()?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(topic: &str, keys: &str) -> Lanes {
        let section = format!("project = 'test-project'\ntopic = '{topic}'\n{keys}");
        Lanes::new(&toml::from_str(&section).expect("settings"))
    }

    #[test]
    fn the_ordering_key_is_the_text_of_a_scalar() {
        let mut lanes = lanes("events", "ordering_key = '/a/b'");
        let long = format!("\"{}\"", "k".repeat(1_024));
        for (value, expected) in [
            ("\"u\"", Some("u")),
            ("1.50", Some("1.5")),
            ("15e-1", Some("1.5")),
            ("true", Some("true")),
            ("null", Some("")),
            ("\"\"", Some("")),
            (&*long, Some(&long[1..1_025])),
            ("[1]", None),
            ("{}", None),
            (&*format!("\"k{}", &long[1..]), None),
        ] {
            let found = lanes.of(format!("{{\"a\":{{\"b\":{value}}}}}").as_bytes());
            match (found, expected) {
                (Ok(lane), Some(expected)) => assert_eq!(lane.key(), expected),
                (Err(reject), None) => {
                    let found = (reject.code, reject.pointer.as_deref());
                    assert_eq!(found, (RejectCode::OrderingKey, Some("/a/b")));
                }
                (found, _) => panic!("{found:?} of {value}"),
            }
        }
        assert_eq!(lanes.of(b"{}"), Ok(Lane::default()));
    }

    #[test]
    fn a_field_selects_one_of_the_declared_topics() {
        let mut lanes = lanes("e-{/c}", "topics = ['e-PL', 'old', 'e-7']\nordering_key = '/c'");
        for (value, expected) in [
            ("\"PL\"", Ok((0, "PL"))),
            ("7", Ok((2, "7"))),
            ("7.0", Ok((2, "7"))),
            ("\"7\"", Ok((2, "7"))),
            ("\"old\"", Err(RejectCode::UndeclaredTopic)),
            ("\"CZ\"", Err(RejectCode::UndeclaredTopic)),
            ("null", Err(RejectCode::UndeclaredTopic)),
            ("[\"PL\"]", Err(RejectCode::UndeclaredTopic)),
        ] {
            let found = lanes.of(format!("{{\"c\":{value}}}").as_bytes());
            let found = found.as_ref().map(|lane| (lane.topic(), lane.key())).map_err(|reject| reject.code);
            assert_eq!(found, expected, "{value}");
        }
        let missing = lanes.of(b"{}").expect_err("no value");
        assert_eq!(missing.pointer.as_deref(), Some("/c"));
    }

    #[test]
    fn without_a_key_all_events_have_one_lane() {
        assert_eq!(lanes("events", "").of(b"{\"a\":1}"), Ok(Lane::default()));
    }
}
