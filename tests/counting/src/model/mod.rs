//! The reference result, computed naively from the rules, without code of the product.
//!
//! This file has what is common to all flows: offsets, clocks, IDs. [`flow`] counts, [`value`] reads values.
//!
//! Nothing is ever dropped, so that nothing can be dropped too early: what must have no effect any more is decided by
//! the watermark each time. Every arrival evaluates everything again. If the rules leave an outcome open, the arrival
//! is listed in [`Judged::undecided`].

mod calendar;
mod flow;
mod value;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::{
    arrival::Action,
    case::{Case, Content, Gap, Record},
    settings::{Flow, Kind, Settings},
};

pub(crate) use self::flow::{Change, Epoch, Expected, FlowModel, Key, Place};
use self::value::{Members, Value, at, millis};

/// The result of a run.
pub(crate) struct Judged<'a> {
    pub(crate) flows: Vec<FlowModel<'a>>,
    /// The running flows, by the number of restarts.
    pub(crate) epochs: Vec<Vec<Epoch<'a>>>,
    /// The flows' watermarks after each tick.
    pub(crate) watermarks: Vec<Vec<i64>>,
    /// Records whose outcome the rules leave open.
    pub(crate) undecided: Vec<u32>,
    /// Whether any window was closed for an event that belongs to it.
    pub(crate) is_late: bool,
}

#[derive(Clone)]
struct Model<'a> {
    settings: &'a Settings,
    flows: Vec<FlowModel<'a>>,
    ids: Vec<Remembered>,
    logs: Vec<Log>,
    /// Whether a mark has listed the topics.
    is_named: bool,
    published: i64,
    undecided: Vec<u32>,
    is_late: bool,
}

/// An event that was accepted.
#[derive(Clone)]
struct Remembered {
    id: (String, String),
    times: Times,
    /// Whether some flow certainly accepted it: a flow for which it was late may have accepted it or not.
    is_certain: bool,
}

/// The times of an event, of each kind.
#[derive(Clone, Copy)]
struct Times {
    event: Option<i64>,
    kafka: Option<i64>,
    published: i64,
}

/// A partition: the effect of each offset on the clocks of event, Kafka and processing time, and the outcomes of
/// offsets without an event.
#[derive(Clone, Default)]
struct Log {
    offsets: BTreeMap<u64, ([i64; 3], Option<&'static str>)>,
    has_ended: bool,
}

/// Evaluates the selected flows. `is_named`: whether all partitions are known from the start.
pub(crate) fn judge<'a>(
    case: &'a Case,
    actions: &[Action],
    is_named: bool,
    chosen: fn(&Flow) -> bool,
) -> Judged<'a> {
    let settings = &case.settings;
    let of = |edition: usize| settings.editions[edition].iter().filter(move |flow| chosen(flow));
    let flows = of(0).map(FlowModel::new).collect();
    let logs = vec![Log::default(); settings.partitions().len()];
    let (ids, undecided) = (Vec::new(), Vec::new());
    let mut model =
        Model { settings, flows, ids, logs, is_named, published: i64::MIN, undecided, is_late: false };
    let mut saved = model.clone();
    let epochs = |model: &Model<'a>| model.flows.iter().map(|flow| flow.epoch.clone()).collect();
    let (mut watermarks, mut all_epochs) = (Vec::new(), vec![epochs(&model)]);
    for (number, action) in actions.iter().enumerate() {
        model.flows.iter_mut().for_each(|flow| flow.action = number);
        match action {
            Action::Data(number, offset) => model.data(case.record(*number), *offset),
            Action::Mark(covered) => {
                model.is_named = true;
                covered.iter().for_each(|(number, offset)| model.absent(case.record(*number), *offset));
            }
            Action::Tick => {
                model.advance(model.clocks());
                watermarks.push(model.flows.iter().map(|flow| flow.watermark).collect());
            }
            Action::Save(_) => saved = model.clone(),
            Action::Restore(edition) => {
                let seen = std::mem::replace(&mut model, saved.clone());
                model.undecided = seen.undecided;
                model.is_late |= seen.is_late || seen.flows.iter().any(|flow| flow.is_late);
                model.flows.iter_mut().zip(of(*edition)).for_each(|(flow, now)| flow.edit(now));
                all_epochs.push(epochs(&model));
            }
            Action::EndOf(partition) => model.logs[*partition].has_ended = true,
            Action::End => model.advance((i64::MAX, i64::MAX, i64::MAX)),
        }
    }
    let is_late = model.is_late || model.flows.iter().any(|flow| flow.is_late);
    let (flows, undecided) = (model.flows, model.undecided);
    Judged { flows, epochs: all_epochs, watermarks, undecided, is_late }
}

impl Model<'_> {
    /// Clocks of event, Kafka and processing time: the minimum over the partitions of the maximum in the contiguous
    /// prefix.
    fn clocks(&self) -> (i64, i64, i64) {
        let clock = |log: &Log| {
            if log.has_ended {
                return [i64::MAX; 3];
            }
            let prefix = (0_u64..).map_while(|offset| log.offsets.get(&offset));
            prefix.fold([i64::MIN; 3], |most, (at, _)| std::array::from_fn(|n| most[n].max(at[n])))
        };
        let least = self.logs.iter().map(clock).reduce(|a, b| std::array::from_fn(|n| a[n].min(b[n])));
        // Without a mark, only publish times show the progress of Pub/Sub.
        let unmarked = [i64::MIN, i64::MIN, self.published];
        let [event, kafka, published] = least.filter(|_| self.is_named).unwrap_or(unmarked);
        (event, kafka, published)
    }

    fn advance(&mut self, (event, kafka, processing): (i64, i64, i64)) {
        for flow in &mut self.flows {
            flow.advance(match flow.epoch.flow.time {
                Kind::Event => event,
                Kind::Kafka => kafka,
                Kind::Processing => processing,
            });
        }
    }

    /// A mark covers an offset without an event; the first outcome is kept.
    fn absent(&mut self, record: &Record, offset: u64) {
        let outcome = match record.content {
            Content::Gap(Gap::Rejected) => "rejected",
            Content::Gap(Gap::Filtered) => "filtered",
            Content::Gap(Gap::Empty | Gap::Before) => "absent",
            Content::Gap(Gap::Lost) | Content::Object(_) | Content::Text(_) => "lost",
        };
        let offsets = &mut self.logs[record.partition].offsets;
        if let Entry::Vacant(entry) = offsets.entry(offset) {
            entry.insert(([i64::MIN; 3], Some(outcome)));
            self.flows.iter_mut().for_each(|flow| flow.account(outcome, 1));
        }
    }

    fn data(&mut self, record: &Record, offset: u64) {
        let before = match self.logs[record.partition].offsets.get(&offset) {
            Some((_, None)) => return,
            Some((_, before)) => *before,
            None => None,
        };
        let payload = record.payload().unwrap_or_default();
        let members: Option<Members<'_>> = serde_json::from_str(&payload).ok();
        let settings = self.settings;
        let (topic, _) = settings.partitions()[record.partition];
        let events = &settings.events;
        let time = members.as_ref().and_then(|members| millis(&at(members, events.time_of(topic))));
        let newest = record.kafka_time.unwrap_or(record.publish_time) + events.future;
        let times = Times {
            event: time.filter(|time| *time <= newest),
            kafka: record.kafka_time,
            published: record.publish_time,
        };
        let kafka = times.kafka.unwrap_or(i64::MIN);
        let event = times.event.map_or(i64::MIN, |time| time.min(times.kafka.unwrap_or(time)));
        let clock = if members.is_some() { [event, kafka, record.publish_time] } else { [i64::MIN; 3] };
        self.logs[record.partition].offsets.insert(offset, (clock, None));
        self.published = self.published.max(record.publish_time);
        if let Some(before) = before {
            self.flows.iter_mut().for_each(|flow| flow.account(before, -1));
        }
        let Some(members) = members else { return self.all("rejected") };

        let id = match events.id_of(topic).map(|(pointer, scope)| (at(&members, pointer), scope)) {
            Some((Value::Container, _)) => return self.all("rejected"),
            Some((value, scope)) => value.scalar().map(|id| (scope.to_owned(), id)),
            None => None,
        };
        match id.as_ref().and_then(|id| self.known(id, times)) {
            Some(true) => return self.all("duplicate"),
            Some(false) => {
                self.undecided.push(record.number);
                return self.all("duplicate");
            }
            None => {}
        }
        let mut outcomes = BTreeSet::new();
        for flow in &mut self.flows {
            let (outcome, is_open) = flow.event(&members, topic, times);
            outcomes.insert(outcome);
            if is_open {
                self.undecided.push(record.number);
            }
        }
        let is_certain = outcomes.contains("counted") || outcomes.contains("pending");
        if let Some(id) =
            id.filter(|_| is_certain || outcomes.contains("late") || outcomes.contains("unmatched"))
        {
            self.ids.push(Remembered { id, times, is_certain });
        }
    }

    fn all(&mut self, outcome: &'static str) {
        self.flows.iter_mut().for_each(|flow| flow.account(outcome, 1));
    }

    /// Whether an event with this ID near this time was accepted. `false` if the rules leave it open: the ID need not
    /// be remembered any more, may not have been accepted, or one of the two events has no time.
    fn known(&self, id: &(String, String), times: Times) -> Option<bool> {
        let within = self.settings.events.id_within;
        let apart = |other: &Remembered| times.event.zip(other.times.event).map(|(a, b)| (a - b).abs());
        let copies =
            self.ids.iter().filter(|other| other.id == *id && apart(other).is_none_or(|a| a <= within));
        let is_needed = |other: &Remembered| self.flows.iter().any(|flow| flow.needs(other.times, within));
        copies.map(|other| apart(other).is_some() && other.is_certain && is_needed(other)).max()
    }
}

#[cfg(test)]
mod tests;
