//! A case: a configuration, the logs of the partitions, and the steps of a processor.

use std::collections::BTreeMap;

use crate::{arrival, dice::Dice, records, settings::Settings};

/// One generated case.
#[derive(Clone, Debug)]
pub struct Case {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// In the order of production, which determines the offsets.
    pub(crate) records: Vec<Record>,
    /// The steps of the core; records without a step arrive after the last one.
    pub(crate) steps: Vec<Step>,
    /// Whether `replay` reads with a separate reader, as its threads do.
    pub(crate) batched: bool,
}

/// One offset of a partition.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Identifies the record in steps, even if others are removed.
    pub(crate) number: u32,
    /// Index into [`Settings::partitions`].
    pub(crate) partition: usize,
    /// Kafka's timestamp.
    pub(crate) kafka_time: Option<i64>,
    /// When Pub/Sub received the message.
    pub(crate) publish_time: i64,
    pub(crate) content: Content,
}

/// The content of an offset.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// The members of an event, each with its value as JSON text.
    Object(Vec<(String, String)>),
    /// Bytes that are not a JSON object.
    Text(String),
    /// No event.
    Gap(Gap),
}

/// Why an offset holds no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Rejected,
    Filtered,
    Empty,
    Lost,
    Before,
}

/// One step of the processor.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A data message arrives, perhaps again.
    Data(u32),
    /// A mark arrives. It lists the topics and covers these records: a gap with its reason, an event as lost.
    Mark(Vec<u32>),
    /// The message of a redrive arrives, perhaps again.
    Redrive(Redrive),
    /// Time passes: watermarks move.
    Tick,
    /// Changed panes fire, and a checkpoint becomes durable; its part of a full copy has at least this many bytes.
    Save(usize),
    /// The processor crashes, and another one restores the state with an edition of the flows. Messages that no
    /// checkpoint covers are redelivered.
    Crash(usize),
}

/// A rejected record is published again. Under another configuration it would be another event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) record: u32,
    /// The record whose event it has by now.
    pub(crate) event_of: u32,
    /// The number of the redrive.
    pub(crate) number: u64,
}

impl Case {
    /// The case of a seed.
    pub fn generate(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let settings = Settings::roll(dice);
        let records = records::roll(&settings, dice);
        let steps = arrival::roll(&records, settings.editions.len(), dice);
        Self { seed, settings, records, steps, batched: dice.percent(50) }
    }

    /// The seed that generated it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn record(&self, number: u32) -> &Record {
        self.records.iter().find(|record| record.number == number).expect("steps name records of the case")
    }

    /// The offset of each record.
    pub(crate) fn offsets(&self) -> BTreeMap<u32, u64> {
        let mut next: BTreeMap<usize, u64> = BTreeMap::new();
        let offset = |record: &Record| {
            let next = next.entry(record.partition).or_default();
            *next += 1;
            (record.number, *next - 1)
        };
        self.records.iter().map(offset).collect()
    }

    /// Removes records, also from the steps.
    pub(crate) fn remove(&mut self, numbers: &[u32]) {
        self.records.retain(|record| !numbers.contains(&record.number));
        self.steps.retain_mut(|step| match step {
            Step::Data(number) => !numbers.contains(number),
            Step::Mark(covered) => {
                covered.retain(|number| !numbers.contains(number));
                true
            }
            Step::Redrive(Redrive { record, event_of, .. }) => {
                !numbers.contains(record) && !numbers.contains(event_of)
            }
            Step::Tick | Step::Save(_) | Step::Crash(_) => true,
        });
    }
}

impl Record {
    /// The bytes of the message; `None` without an event.
    pub(crate) fn payload(&self) -> Option<String> {
        match &self.content {
            Content::Object(members) => {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                Some(format!("{{{}}}", members.join(",")))
            }
            Content::Text(text) => Some(text.clone()),
            Content::Gap(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        arrival::Action,
        model::{self, Expected},
        records::DAY,
        settings::Window,
    };

    const SEEDS: std::ops::RangeInclusive<u64> = 1..=300;

    #[test]
    fn a_seed_gives_the_same_case() {
        let text = |seed| format!("{:?}", Case::generate(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    /// Everything must occur in some case to be tested.
    #[test]
    fn cases_have_every_outcome() {
        let mut outcomes = BTreeSet::new();
        let (mut attributed, mut restored, mut edited, mut undecided, mut records) = (0, 0, 0, 0, 0);
        let (mut hidden, mut merged, mut changed, mut redriven) = (0, 0, 0, 0);
        for seed in SEEDS {
            let case = Case::generate(seed);
            let actions = arrival::expand(&case);
            let judged = model::judge(&case, &actions, false, |_| true);
            for flow in &judged.flows {
                outcomes
                    .extend(flow.ledger.iter().filter(|(_, count)| **count > 0).map(|(outcome, _)| *outcome));
                for (place, changes) in flow.places() {
                    let values = flow.epoch.values(&place, &changes);
                    let is_joined = flow.epoch.flow.join.is_some();
                    attributed += usize::from(is_joined && values[2] != Expected::Count(0));
                    hidden += usize::from(
                        !flow.epoch.flow.measures.is_empty() && values.last() == Some(&Expected::Null),
                    );
                    merged += usize::from(
                        matches!(flow.epoch.flow.window, Window::Session(_)) && changes.len() > 1,
                    );
                    let zone = matches!(flow.epoch.flow.window, Window::Calendar(..));
                    changed += usize::from(zone && (place.0.1 - place.0.0) % DAY != 0);
                }
            }
            let restores = actions.iter().filter(|action| matches!(action, Action::Restore(_)));
            edited += restores.clone().filter(|action| **action != Action::Restore(0)).count();
            restored += restores.count();
            undecided += judged.undecided.len();
            redriven += judged.redriven;
            records += case.records.len();
        }
        let all = "absent counted duplicate filtered ignored late lost rejected unmatched";
        assert_eq!(outcomes, all.split(' ').collect());
        assert!(
            attributed > 100 && restored > 50,
            "{attributed} rows with clicked views, {restored} restarts"
        );
        assert!(
            edited > 30 && hidden > 30 && merged > 100 && changed > 20,
            "{edited} edits, {hidden} NULLs, {merged} merged sessions, {changed} days with another clock"
        );
        assert!(redriven > 300, "{redriven} outcomes that a redrive replaced");
        assert!(undecided * 5 < records, "{undecided} of {records} events have no outcome by the rules");
    }
}
