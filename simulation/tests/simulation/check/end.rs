//! Checks at the end: nothing is stalled, nothing is missing, and the rows equal a recount.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use event::Partition;
use processor::frontier::Frontier;

use super::{
    Outcome, Outcomes,
    recount::{Arrival, Cell, Count, Taken},
};
use crate::{
    kafka::Class,
    pubsub::Body,
    table::{RowName, SimulatedSink},
    world::World,
};

/// Topic, partition and offset.
type Spot = (Arc<str>, i32, u64);

impl World {
    /// Whether the run has settled; returns the processor that completed it.
    pub(crate) fn look(&mut self) -> Option<usize> {
        let config = &self.plan.config;
        let newest = self.events.iter().filter(|e| e.class != Class::Future).map(|e| e.time).max();
        let end = newest.unwrap_or(config.epoch) + config.lag + 2 * config.size + config.lateness;
        let patience = 4 * config.hole_limit + 60_000;
        let missing = self.missing(end);
        let Err(why) = missing else { return missing.ok() };
        if self.now > config.epoch + self.plan.calm_at + patience {
            self.fail(format!("it stalls: {why}"));
        }
        None
    }

    fn missing(&self, end: i64) -> Result<usize, String> {
        let worker = self.workers.iter().position(|worker| worker.running().is_some());
        let Some((number, running)) =
            worker.and_then(|number| Some((number, self.workers[number].running()?)))
        else {
            return Err("no processor runs".to_owned());
        };
        let core = running.stages.core();
        if let Some(watermark) = running.watermarks.iter().min().filter(|w| w.0 < end) {
            let holder = core.frontier().holder(core.limits());
            let behind = end.saturating_sub(watermark.0);
            return Err(format!("the watermark is {behind} ms short: {holder:?}"));
        }
        for (place, log) in self.kafka.logs() {
            let high = log.high().saturating_sub(if self.plan.config.poison_for_ever { 20 } else { 0 });
            let track =
                self.check.head.iter().flat_map(Frontier::tracks).find(|(p, _)| **p == *log.partition);
            let prefix = track.map_or(0, |(_, track)| track.prefix());
            if self.topics.contains(&place.0) && prefix < high {
                return Err(format!("{} is accounted for up to {prefix} of {}", log.partition, log.high()));
            }
        }
        let is_open =
            |m: &crate::pubsub::Message| !m.is_acked && !m.is_vanished && matches!(m.body, Body::Data { .. });
        if self.pubsub.messages.iter().any(is_open) {
            return Err(format!("{} messages are not acknowledged", self.pubsub.outstanding()));
        }
        if running.stages.pending() > 0 || core.has_rows() {
            return Err(format!("{} requests wait", running.stages.pending()));
        }
        Ok(number)
    }

    /// The final rows equal a recount of the messages. Returns the number of events in them.
    pub(crate) fn check_end(&mut self, number: usize) -> usize {
        if self.plan.config.is_inexact {
            return 0;
        }
        let Some(running) = self.workers[number].running() else { return 0 };
        let wrong = self
            .unpublished()
            .or_else(|| self.unaccounted(&running.outcomes))
            .or_else(|| self.sinks.iter().find_map(|sink| self.wrong_letters(sink)));
        let taken = self.taken(&running.outcomes);
        let counted = taken.len();
        let joined = self.plan.config.recount_join(&self.arrivals(&running.outcomes));
        if let Some(wrong) = wrong
            .or_else(|| self.sinks.iter().find_map(|sink| self.wrong_rows(&finals(sink), &taken, &joined)))
        {
            self.fail(wrong);
        }
        counted
    }

    /// An event that should have been published and was not.
    fn unpublished(&self) -> Option<String> {
        self.kafka.logs().filter(|(place, _)| self.topics.contains(&place.0)).find_map(|(_, log)| {
            let is_missing = |offset: &u64| {
                if log.reset_to.is_some_and(|reset_to| *offset < reset_to) {
                    return false;
                }
                let must = |class| !matches!(class, Class::Loose | Class::Contested);
                log.is_event(*offset).is_some_and(|event| must(event.class))
                    && !self.check.copies.contains_key(&(log.partition.clone(), *offset))
            };
            let offset = (self.required_from(log).max(log.low)..log.high()).find(is_missing)?;
            Some(format!("{}@{offset} was never published", log.partition))
        })
    }

    /// An event that was acknowledged but not accounted for.
    fn unaccounted(&self, outcomes: &Outcomes) -> Option<String> {
        let mut copies = self.check.copies.iter();
        copies.find_map(|((partition, offset), messages)| {
            let is_acked = messages.iter().any(|message| self.pubsub.messages[*message].is_acked);
            let outcome = outcomes.get(partition, *offset);
            let is_taken = matches!(
                outcome,
                Some(Outcome::Data(..) | Outcome::Rejected | Outcome::Filtered | Outcome::Empty)
            );
            (is_acked && !is_taken)
                .then(|| format!("{partition}@{offset} was acknowledged and is {outcome:?}"))
        })
    }

    /// Every rejected record and row is in the dead letters once.
    fn wrong_letters(&self, sink: &SimulatedSink) -> Option<String> {
        let tables = sink.tables();
        let rows = tables.letters.iter().filter(|letter| &*letter.stage == "writer").count();
        if rows != tables.refused.len() {
            let refused: &BTreeSet<RowName> = &tables.refused;
            return Some(format!("{} rows were refused, {rows} are reported of: {refused:?}", refused.len()));
        }
        let records = tables.letters.iter().filter(|letter| &*letter.stage != "writer");
        let mut reported: Vec<Spot> =
            records.map(|letter| (letter.topic.clone(), letter.partition, letter.offset)).collect();
        let newest = self.check.outcomes.values().next_back();
        let is_refused = |outcome: Outcome| {
            let is_future = self.event_of(outcome).is_some_and(|event| event.class == Class::Future);
            is_future || outcome == Outcome::Rejected
        };
        let spot = |(partition, offset, _): (&Partition, u64, Outcome)| {
            (partition.topic.clone(), partition.partition, offset)
        };
        let mut refused: Vec<Spot> = newest
            .iter()
            .flat_map(|outcomes| outcomes.iter())
            .filter(|(_, _, outcome)| is_refused(*outcome))
            .map(spot)
            .collect();
        // The table keeps the line of a record that was counted after all.
        let redriven = newest.iter().flat_map(|outcomes| &outcomes.redriven);
        refused.extend(redriven.map(|(p, offset)| (p.topic.clone(), p.partition, *offset)));
        reported.sort();
        refused.sort();
        (reported != refused).then(|| format!("refused were {refused:?}, and reported {reported:?}"))
    }

    /// The expected contents of the rows: one copy of every event that arrived.
    fn taken(&self, outcomes: &Outcomes) -> Vec<Taken<'_>> {
        let mut taken: BTreeMap<usize, Taken<'_>> = BTreeMap::new();
        for (partition, offset, outcome) in outcomes.iter() {
            let (Some(event), Outcome::Data(_, kafka)) = (self.event_of(outcome), outcome) else { continue };
            let is_unawaited = outcomes.unawaited.contains(&(partition.clone(), offset));
            let is_open = is_unawaited || matches!(event.class, Class::Loose | Class::Delayed);
            taken.insert(event.id, Taken { event, kafka, is_open });
        }
        taken.into_values().collect()
    }

    /// The events of the flow with a join, in order of arrival.
    fn arrivals(&self, outcomes: &Outcomes) -> Vec<Arrival<'_>> {
        let events = outcomes.arrivals.iter().map(|&(number, watermark)| (&*self.events[number], watermark));
        let arrivals = events.map(|(event, watermark)| Arrival { event, watermark });
        arrivals.filter(|arrival| arrival.event.class != Class::Future).collect()
    }

    /// A cell whose final row differs from the expectation.
    fn wrong_rows(
        &self,
        found: &BTreeMap<Cell, Count>,
        taken: &[Taken<'_>],
        joined: &BTreeMap<Cell, Count>,
    ) -> Option<String> {
        let config = &self.plan.config;
        let sure: Vec<Taken<'_>> = taken.iter().filter(|taken| !taken.is_open).copied().collect();
        let [least, most] = [sure.as_slice(), taken].map(|taken| {
            let mut counts = config.recount(taken);
            counts.extend(joined.clone());
            counts
        });
        let cells: BTreeSet<&Cell> = least.keys().chain(most.keys()).chain(found.keys()).collect();
        let is_refused = |cell: &Cell| config.refuses == Some(cell.2.as_str());
        cells.into_iter().filter(|cell| !is_refused(cell)).find_map(|cell| {
            let count = found.get(cell).copied().unwrap_or_default();
            let (from, to) =
                (least.get(cell).copied().unwrap_or_default(), most.get(cell).copied().unwrap_or_default());
            let start = cell.1 - config.epoch;
            (!count.is_within(from, to)).then(|| {
                format!("{} window {start} key {} has {count:?}, not {from:?} to {to:?}", cell.0, cell.2)
            })
        })
    }
}

/// The newest pane of every window and key.
fn finals(sink: &SimulatedSink) -> BTreeMap<Cell, Count> {
    let tables = sink.tables();
    if let Some(upserts) = &tables.upserts {
        let rows = upserts.rows.iter();
        return rows
            .map(|((flow, start, key), row)| {
                ((flow.to_string(), *start, key.clone()), Count::of(&row.counts))
            })
            .collect();
    }
    let mut newest: BTreeMap<Cell, (u32, Count)> = BTreeMap::new();
    for (flow, row) in &tables.rows {
        let entry = newest.entry((flow.to_string(), row.start, row.key.clone())).or_default();
        if row.pane_index >= entry.0 {
            *entry = (row.pane_index, Count::of(&row.counts));
        }
    }
    newest.into_iter().map(|(cell, (_, count))| (cell, count)).collect()
}
