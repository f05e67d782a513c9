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
    case::{Case, Content, Gap, Record, Redrive},
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
    /// The number of messages of redrives that had an effect.
    pub(crate) redriven: usize,
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
    /// Rejected offsets, by partition.
    rejected: BTreeMap<(usize, u64), Rejected>,
    redriven: usize,
    undecided: Vec<u32>,
    is_late: bool,
}

/// What a redrive needs to know of a rejected offset.
#[derive(Clone)]
struct Rejected {
    /// The flows that rejected it, by their index.
    flows: BTreeSet<usize>,
    /// Whether another flow accepted it; `None` if the rules leave that open.
    is_taken: Option<bool>,
    /// The redrive in which it was rejected last.
    redrive: u64,
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
    let mut model = Model {
        settings,
        flows,
        ids,
        logs,
        is_named,
        published: i64::MIN,
        rejected: BTreeMap::new(),
        redriven: 0,
        undecided,
        is_late: false,
    };
    let mut saved = model.clone();
    let epochs = |model: &Model<'a>| model.flows.iter().map(|flow| flow.epoch.clone()).collect();
    let (mut watermarks, mut all_epochs) = (Vec::new(), vec![epochs(&model)]);
    for (number, action) in actions.iter().enumerate() {
        model.flows.iter_mut().for_each(|flow| flow.action = number);
        match action {
            Action::Data(number, offset) => {
                let record = case.record(*number);
                model.data(record, *offset, &record.payload().unwrap_or_default(), 0);
            }
            Action::Redrive(redrive, offset) => model.redriven(case, redrive, *offset),
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
                model.redriven = model.redriven.max(seen.redriven);
                model.is_late |= seen.is_late || seen.flows.iter().any(|flow| flow.is_late);
                model.flows.iter_mut().zip(of(*edition)).for_each(|(flow, now)| flow.edit(now));
                all_epochs.push(epochs(&model));
            }
            Action::EndOf(partition) => model.logs[*partition].has_ended = true,
            Action::End => model.advance((i64::MAX, i64::MAX, i64::MAX)),
        }
    }
    let is_late = model.is_late || model.flows.iter().any(|flow| flow.is_late);
    let (flows, undecided, redriven) = (model.flows, model.undecided, model.redriven);
    Judged { flows, epochs: all_epochs, watermarks, undecided, is_late, redriven }
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
            if outcome == "rejected" {
                let flows = (0..self.flows.len()).collect();
                let rejected = Rejected { flows, is_taken: Some(false), redrive: 0 };
                self.rejected.insert((record.partition, offset), rejected);
            }
        }
    }

    /// A rejected record again, perhaps as another event: the flows that rejected it count it instead.
    fn redriven(&mut self, case: &Case, redrive: &Redrive, offset: u64) {
        let record = case.record(redrive.record);
        let payload = case.record(redrive.event_of).payload().unwrap_or_default();
        let place = (record.partition, offset);
        if matches!(self.logs[record.partition].offsets.get(&offset), None | Some((_, Some("lost")))) {
            // After a lost state it may come before the record, which is a repetition then.
            self.redriven += 1;
            return self.data(record, offset, &payload, redrive.number);
        }
        let Some(rejected) =
            self.rejected.get(&place).filter(|known| known.redrive < redrive.number).cloned()
        else {
            return;
        };
        self.redriven += 1;
        let (outcomes, is_taken) = self.outcomes(record, &payload, &rejected);
        let mut left = BTreeSet::new();
        for (flow, outcome) in outcomes {
            self.flows[flow].account("rejected", -1);
            if outcome == "rejected" {
                left.insert(flow);
            }
        }
        self.rejected.remove(&place);
        if !left.is_empty() {
            self.rejected.insert(place, Rejected { flows: left, is_taken, redrive: redrive.number });
        }
    }

    fn data(&mut self, record: &Record, offset: u64, payload: &str, redrive: u64) {
        let before = match self.logs[record.partition].offsets.get(&offset) {
            Some((_, None)) => return,
            Some((_, before)) => *before,
            None => None,
        };
        let (times, is_readable) = self.times(record, payload);
        let kafka = times.kafka.unwrap_or(i64::MIN);
        let event = times.event.map_or(i64::MIN, |time| time.min(times.kafka.unwrap_or(time)));
        let clock = if is_readable { [event, kafka, record.publish_time] } else { [i64::MIN; 3] };
        self.logs[record.partition].offsets.insert(offset, (clock, None));
        self.published = self.published.max(record.publish_time);
        if let Some(before) = before {
            self.flows.iter_mut().for_each(|flow| flow.account(before, -1));
        }
        let all = (0..self.flows.len()).collect();
        let new = Rejected { flows: all, is_taken: Some(false), redrive };
        let (outcomes, is_taken) = self.outcomes(record, payload, &new);
        let rejected = outcomes.into_iter().filter(|(_, outcome)| *outcome == "rejected");
        let flows: BTreeSet<usize> = rejected.map(|(flow, _)| flow).collect();
        if !flows.is_empty() {
            self.rejected.insert((record.partition, offset), Rejected { flows, is_taken, redrive });
        }
    }

    /// The times of an event, and whether it is a JSON object.
    fn times(&self, record: &Record, payload: &str) -> (Times, bool) {
        let members: Option<Members<'_>> = serde_json::from_str(payload).ok();
        let (topic, _) = self.settings.partitions()[record.partition];
        let events = &self.settings.events;
        let time = members.as_ref().and_then(|members| millis(&at(members, events.time_of(topic))));
        let newest = record.kafka_time.unwrap_or(record.publish_time) + events.future;
        let times = Times {
            event: time.filter(|time| *time <= newest),
            kafka: record.kafka_time,
            published: record.publish_time,
        };
        (times, members.is_some())
    }

    /// Counts an event in the flows that have not counted it yet. Returns their outcomes, and whether any flow has accepted
    /// the event by now.
    fn outcomes(
        &mut self,
        record: &Record,
        payload: &str,
        rejected: &Rejected,
    ) -> (Vec<(usize, &'static str)>, Option<bool>) {
        let (times, _) = self.times(record, payload);
        let members: Option<Members<'_>> = serde_json::from_str(payload).ok();
        let Some(members) = members else { return (self.all("rejected", rejected), rejected.is_taken) };
        let settings = self.settings;
        let (topic, _) = settings.partitions()[record.partition];
        let id = match settings.events.id_of(topic).map(|(pointer, scope)| (at(&members, pointer), scope)) {
            Some((Value::Container, _)) => return (self.all("rejected", rejected), rejected.is_taken),
            Some((value, scope)) => value.scalar().map(|id| (scope.to_owned(), id)),
            None => None,
        };
        if id.is_some() && rejected.is_taken.is_none() {
            self.undecided.push(record.number);
        }
        // A flow has accepted the record itself, so a known ID is its own.
        let id = id.filter(|_| rejected.is_taken != Some(true));
        match id.as_ref().and_then(|id| self.known(id, times)) {
            Some(true) => return (self.all("duplicate", rejected), rejected.is_taken),
            Some(false) => {
                self.undecided.push(record.number);
                return (self.all("duplicate", rejected), rejected.is_taken);
            }
            None => {}
        }
        let mut outcomes = Vec::new();
        for flow in &rejected.flows {
            let (outcome, is_open) = self.flows[*flow].event(&members, topic, times);
            outcomes.push((*flow, outcome));
            if is_open {
                self.undecided.push(record.number);
            }
        }
        let has = |wanted: &str| outcomes.iter().any(|(_, outcome)| *outcome == wanted);
        let is_certain = has("counted") || has("pending");
        let is_possible = is_certain || has("late") || has("unmatched");
        if let Some(id) = id.filter(|_| is_possible) {
            self.ids.push(Remembered { id, times, is_certain });
        }
        let is_taken = match rejected.is_taken {
            Some(true) => Some(true),
            _ if is_certain => Some(true),
            Some(false) if !is_possible => Some(false),
            _ => None,
        };
        (outcomes, is_taken)
    }

    fn all(&mut self, outcome: &'static str, of: &Rejected) -> Vec<(usize, &'static str)> {
        of.flows.iter().for_each(|flow| self.flows[*flow].account(outcome, 1));
        of.flows.iter().map(|flow| (*flow, outcome)).collect()
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
