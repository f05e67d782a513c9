//! What a sample of records contains and what happens to it, for a data protection officer: every field, how often
//! it occurs, what the anonymiser does with it, and whether a forwarded value looks like personal data. It never
//! contains a value.
//!
//! The anonymiser itself reports the outcomes while it works ([`connector::anonymise::Observer`]), so the report
//! cannot differ from what is published. See [`crate::commands::check`] for the source of the records.
//!
//! | module | idea |
//! |---|---|
//! | [`places`] | the tree of places and what was counted at each |
//! | [`fold`] | which names are shown, and which are folded into `*` |
//! | [`looks`], [`distinct`] | what values look like, and how many there are |
//! | [`times`] | when events happened, beside their records' timestamps |
//! | [`report`], [`text`] | the report as values and as text |

mod distinct;
mod fold;
mod looks;
mod places;
mod report;
mod text;
mod times;

use std::{collections::BTreeMap, sync::Arc};

use codec::Schema;
use connector::anonymise::{Anonymiser, KeyRule, Observer as _, Outcome, Raw, Step, Visible};
use event::Pointer;

use places::Places;

pub(crate) use report::Report;
pub(crate) use times::Times;

/// The names that the configuration reads besides the lists of `[anonymise]`; they are shown.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The pointers of the event time, which differs from event to event and identifies no one.
    pub(crate) times: Vec<Pointer>,
    /// Other pointers that are read.
    pub(crate) others: Vec<Pointer>,
}

/// The state of a sample.
#[derive(Debug)]
pub(crate) struct Sample {
    key: KeyRule,
    /// Of values.
    values: Places,
    /// Of Kafka keys and headers, as members `key` and `headers`.
    attributes: Places,
    passed: u64,
    /// Records that the filter excludes.
    filtered: u64,
    rejected: BTreeMap<(&'static str, Option<Arc<str>>), u64>,
}

const KEY: &str = "key";
const HEADERS: &str = "headers";

impl Sample {
    /// Nothing yet.
    pub(crate) fn new(key: KeyRule, known: &Known) -> Self {
        let mut values = Places::default();
        known.others.iter().for_each(|pointer| values.know(pointer, false));
        known.times.iter().for_each(|pointer| values.know(pointer, true));
        Self { key, values, attributes: Places::default(), passed: 0, filtered: 0, rejected: BTreeMap::new() }
    }

    /// Anonymises a record and observes the outcomes.
    pub(crate) fn take(
        &mut self,
        anonymiser: &mut Anonymiser,
        raw: &Raw<'_>,
        schema: Option<&Arc<dyn Schema>>,
    ) {
        self.values.begin_record();
        match anonymiser.anonymise_observed(raw, schema, &mut self.values) {
            Ok(None) => self.filtered += 1,
            Ok(Some(passed)) => {
                self.passed += 1;
                self.attributes.begin_record();
                if raw.key.is_some() {
                    self.attribute(&[Step::Declared(KEY)], self.key_outcome(), passed.kafka_key());
                }
                for (name, _) in raw.headers {
                    let text = passed.headers().iter().find(|(passing, _)| **passing == **name);
                    let (step, outcome) = match text {
                        Some(_) => (Step::Declared(name), Outcome::Forwarded),
                        None => (Step::Undeclared(name), Outcome::Dropped),
                    };
                    let text = text.map(|(_, text)| text.as_str());
                    self.attribute(&[Step::Declared(HEADERS), step], outcome, text);
                }
            }
            Err(reject) => self.reject(reject.code.as_str(), reject.pointer),
        }
    }

    /// Counts a record that cannot be read.
    pub(crate) fn reject(&mut self, code: &'static str, pointer: Option<Arc<str>>) {
        *self.rejected.entry((code, pointer)).or_default() += 1;
    }

    /// The number of records.
    pub(crate) fn records(&self) -> u64 {
        self.passed + self.filtered + self.rejected.values().sum::<u64>()
    }

    fn key_outcome(&self) -> Outcome {
        match self.key {
            KeyRule::Drop => Outcome::Dropped,
            KeyRule::Pseudonymise => Outcome::Pseudonymised,
            KeyRule::Forward => Outcome::Forwarded,
        }
    }

    fn attribute(&mut self, steps: &[Step<'_>], outcome: Outcome, text: Option<&str>) {
        steps.iter().for_each(|step| self.attributes.enter(*step));
        let shown = text.filter(|_| outcome == Outcome::Forwarded);
        self.attributes.value(outcome, shown.map_or(Visible::Nothing, Visible::Text));
        steps.iter().for_each(|_| self.attributes.leave());
    }
}

#[cfg(test)]
mod tests;
