//! `[pubsub] filter`: which events are published.
//!
//! It reads events before they are anonymised, so a condition may name a field that does not pass.

use event::{
    Picker, Pointer,
    matching::{Match, Subject},
    pick::Scratch,
};

use crate::anonymise::MAX_RECORD_BYTES;

/// A compiled filter; one for each thread.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    of: Match,
    /// Reads the fields of the terms that name one, in their order.
    picker: Picker,
    scratch: Scratch,
}

impl Filter {
    pub(crate) fn new(of: Match) -> Self {
        let pointer = |subject: &Subject| match subject {
            Subject::At(pointer) => Some(pointer.clone()),
            Subject::Topic => None,
        };
        let pointers: Vec<Pointer> = of.terms.iter().filter_map(|term| pointer(&term.subject)).collect();
        Self { picker: Picker::new(&pointers), of, scratch: Scratch::default() }
    }

    /// Whether the record is passed on to the anonymiser. A value that is not an event does: only the anonymiser knows the
    /// reason for its reject.
    pub(crate) fn passes(&mut self, topic: &str, value: Option<&[u8]>) -> bool {
        let of_topic = self.of.terms.iter().filter(|term| term.subject == Subject::Topic);
        if !of_topic.into_iter().all(|term| term.any_of.contains_text(topic)) {
            return false;
        }
        let Some(value) = value.filter(|value| value.len() <= MAX_RECORD_BYTES) else { return true };
        let mut values = self.scratch.take();
        let picked = self.picker.pick(value, &mut self.scratch, &mut values);
        let of_fields = self.of.terms.iter().filter(|term| term.subject != Subject::Topic);
        let passes =
            picked.is_err() || of_fields.zip(&values).all(|(term, value)| term.any_of.contains(value));
        self.scratch.put(values);
        passes
    }
}

#[cfg(test)]
mod tests {
    use event::matching::MatchSettings;

    use super::*;

    fn check(filter: &str, topic: &str, value: Option<&str>, expected: bool) {
        let settings: MatchSettings = serde_json::from_str(filter).expect("a condition");
        let mut filter = Filter::new(settings.resolve().expect("it has terms"));
        for _ in 0..2 {
            assert_eq!(filter.passes(topic, value.map(str::as_bytes)), expected, "{topic} {value:?}");
        }
    }

    #[test]
    fn all_terms_must_hold() {
        let filter = r#"{"/type": ["view", "click"], "topic": "events", "/v": 2}"#;
        check(filter, "events", Some(r#"{"v":2.0,"type":"click"}"#), true);
        check(filter, "other", Some(r#"{"v":2,"type":"click"}"#), false);
        check(filter, "events", Some(r#"{"v":2,"type":"buy"}"#), false);
        check(filter, "events", Some(r#"{"v":"2","type":"view"}"#), false);
        check(filter, "events", Some(r#"{"type":"view"}"#), false);
        check(filter, "events", Some("{}"), false);
    }

    #[test]
    fn what_is_not_an_event_is_left_to_the_anonymiser() {
        for value in [None, Some("[]"), Some(r#"{"type":"buy"} x"#), Some("{")] {
            check(r#"{"/type": "view"}"#, "events", value, true);
            check(r#"{"topic": "other"}"#, "events", value, false);
        }
    }
}
