//! `[pubsub] ordering_key`: the order in which messages are published.
//!
//! It reads events as they are published, so a value that may not pass is never part of a lane.

use std::{fmt, sync::Arc};

use event::{
    Picker, Pointer,
    pick::{Scratch, Value},
};
use pubsub::{PubSubSettings, limits::MAX_KEY_BYTES};

use crate::anonymise::{Reject, RejectCode, canonical_number};

/// Messages of one lane are published in order. A request holds messages of one lane only.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    key: Box<str>,
}

/// Finds the lanes of events; one for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    /// The field of the ordering key.
    key: Option<Arc<str>>,
    /// Reads the field of the key. `None` if all events have the same lane.
    picker: Option<Picker>,
    scratch: Scratch,
}

impl Lane {
    /// The ordering key; empty if the event has none.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The content does not belong in a log.
impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("key_bytes", &self.key.len()).finish()
    }
}

impl Lanes {
    pub(crate) fn new(settings: &PubSubSettings) -> Self {
        let pointers: Vec<Pointer> = settings.ordering_key.iter().cloned().collect();
        let key = settings.ordering_key.as_ref().map(|pointer| pointer.as_str().into());
        let picker = (!pointers.is_empty()).then(|| Picker::new(&pointers));
        Self { key, picker, scratch: Scratch::default() }
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
        let mut found = values.iter();
        let key = self.key.as_ref().and_then(|pointer| Some((pointer, found.next()?)));
        let lane = key.map_or_else(|| Ok(Box::default()), |(pointer, value)| ordering_key(pointer, value));
        self.scratch.put(values);
        Ok(Lane { key: lane? })
    }
}

fn ordering_key(pointer: &Arc<str>, value: &Value<'_>) -> Result<Box<str>, Reject> {
    let reject = || Reject::published(RejectCode::OrderingKey, pointer);
    if value.is_absent() {
        return Ok(Box::default());
    }
    text(value).filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(reject)
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

    fn lanes(keys: &str) -> Lanes {
        let section = format!("project = 'test-project'\ntopic = 'events'\n{keys}");
        Lanes::new(&toml::from_str(&section).expect("settings"))
    }

    #[test]
    fn the_ordering_key_is_the_text_of_a_scalar() {
        let mut lanes = lanes("ordering_key = '/a/b'");
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
                    let told = (reject.code, reject.pointer.as_deref());
                    assert_eq!(told, (RejectCode::OrderingKey, Some("/a/b")));
                }
                (found, _) => panic!("{found:?} of {value}"),
            }
        }
        assert_eq!(lanes.of(b"{}"), Ok(Lane::default()));
    }

    #[test]
    fn without_a_key_all_events_have_one_lane() {
        assert_eq!(lanes("").of(b"{\"a\":1}"), Ok(Lane::default()));
    }
}
