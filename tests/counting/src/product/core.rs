//! Runs a case through the processor's core as its driver does: messages, ticks, checkpoints, and restarts.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use event::{
    EventTime, EventsSettings, Incarnation, Mark, Millis, Partition,
    mark::{LogEnd, MarkRange, PartitionMark, Reason, TopicMark},
};
use flow::Flow;
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    saved::{Budget, Restoring, Round, Saved, save},
    store::{Checkpoint, FORMAT},
};

use crate::{
    arrival::Action,
    case::{Case, Content, Gap, Record, Redrive},
    records::{DAY, START},
};

use super::{Fired, Ran, configured};

/// The processor's start time. Everything was published days before: the processor is never caught up, so that time
/// does not pass without events and no hole is given up.
const NOW: i64 = START + 21 * DAY;
/// The publish time of the final marks, after every window.
const END: i64 = START + 60 * DAY;
/// Between two actions.
const STEP: i64 = 700;

struct Run<'a> {
    case: &'a Case,
    events: EventsSettings,
    editions: Vec<Vec<Flow>>,
    /// The running edition, and that of the last checkpoint.
    edition: usize,
    saved_edition: usize,
    /// The number of restarts.
    epoch: usize,
    /// The number of the action.
    action: usize,
    partitions: Vec<Partition>,
    core: Core,
    outbox: Outbox,
    round: Round,
    /// The checkpoints after pruning: since the start of the last complete round.
    checkpoints: Vec<Checkpoint>,
    /// The number of the first checkpoint of the current round.
    first: Option<u64>,
    number: u64,
    now: i64,
    marks: u64,
    /// Panes that no checkpoint contains yet, which a crash loses.
    fired: Vec<Fired>,
    rows: Vec<Fired>,
    watermarks: Vec<Vec<i64>>,
}

/// Runs all flows.
pub(crate) fn run(case: &Case, actions: &[Action]) -> Result<Ran> {
    let (events, _) = configured(&case.settings.to_toml(0))?;
    let flows =
        (0..case.settings.editions.len()).map(|edition| Ok(configured(&case.settings.to_toml(edition))?.1));
    let editions = flows.collect::<Result<Vec<_>>>()?;
    let partitions = case.settings.partitions().into_iter().map(|(topic, partition)| Partition {
        topic: Arc::from(topic),
        incarnation: incarnation(),
        partition,
    });
    let core = new_core(&events, &editions[0], NOW);
    let mut run = Run {
        case,
        partitions: partitions.collect(),
        core,
        events,
        editions,
        edition: 0,
        saved_edition: 0,
        epoch: 0,
        action: 0,
        outbox: Outbox::default(),
        round: Round::default(),
        checkpoints: Vec::new(),
        first: None,
        number: 0,
        now: NOW,
        marks: 0,
        fired: Vec::new(),
        rows: Vec::new(),
        watermarks: Vec::new(),
    };
    for (number, action) in actions.iter().enumerate() {
        run.action = number;
        run.now += STEP;
        run.step(action)?;
    }
    let ledgers = run.core.engine().flows().iter().map(|flow| (flow.name().to_string(), flow.ledger));
    let ledgers = ledgers.collect();
    Ok(Ran { ledgers, rows: run.rows, watermarks: run.watermarks, offsets: case.records.len() as u64 })
}

impl Run<'_> {
    fn step(&mut self, action: &Action) -> Result<()> {
        let case = self.case;
        match action {
            Action::Data(number, offset) => self.data(case.record(*number), *offset),
            Action::Redrive(redrive, offset) => self.redriven(redrive, *offset),
            Action::Mark(covered) => {
                let entries = covered.iter().map(|(number, offset)| self.covered(*number, *offset)).collect();
                self.mark(entries, START + 20 * DAY);
            }
            Action::Tick => {
                self.tick()?;
                let flows = self.core.engine().flows();
                self.watermarks.push(flows.iter().map(|flow| flow.windows.watermark().0).collect());
            }
            Action::Save(budget) => self.save(*budget)?,
            Action::Restore(edition) => self.restore(*edition)?,
            Action::EndOf(_) => bail!("partitions end together in the core"),
            Action::End => self.end()?,
        }
        Ok(())
    }

    fn data(&mut self, record: &Record, offset: u64) {
        let payload = record.payload().unwrap_or_default();
        let data = Data {
            position: Some((&self.partitions[record.partition], offset)),
            kafka_time: record.kafka_time.map(EventTime),
            publish_time: EventTime(record.publish_time),
            payload: payload.as_bytes(),
        };
        self.core.data(&data, EventTime(self.now));
    }

    fn redriven(&mut self, redrive: &Redrive, offset: u64) {
        let record = self.case.record(redrive.record);
        let payload = self.case.record(redrive.event_of).payload().unwrap_or_default();
        let data = Data {
            position: Some((&self.partitions[record.partition], offset)),
            kafka_time: record.kafka_time.map(EventTime),
            publish_time: EventTime(record.publish_time),
            payload: payload.as_bytes(),
        };
        self.core.redriven(&data, redrive.number, EventTime(self.now));
    }

    /// The entry of a mark for one offset.
    fn covered(&self, number: u32, offset: u64) -> PartitionMark {
        let record = self.case.record(number);
        let reason = match record.content {
            Content::Gap(Gap::Rejected) => Reason::Rejected("tombstone".to_owned()),
            Content::Gap(Gap::Filtered) => Reason::Filtered,
            Content::Gap(Gap::Empty) => Reason::Empty,
            Content::Gap(Gap::Before) => Reason::Before,
            Content::Gap(Gap::Lost) | Content::Object(_) | Content::Text(_) => Reason::Lost,
        };
        let partition = self.partitions[record.partition].clone();
        let range = MarkRange { from: offset, to: offset + 1, reason, pointer: None };
        PartitionMark { partition, ranges: vec![range], position: offset + 1, committed: None, end: None }
    }

    /// Every mark lists all topics.
    fn mark(&mut self, partitions: Vec<PartitionMark>, published: i64) {
        self.marks += 1;
        let asked_at = EventTime(published);
        let topics = self.case.settings.topics.iter().map(|(topic, partitions)| TopicMark {
            topic: Arc::from(topic.as_str()),
            incarnation: incarnation(),
            partitions: *partitions,
            asked_at,
        });
        let mark = Mark {
            version: Mark::VERSION,
            replica: "connector".to_owned(),
            sequence: self.marks,
            partitions,
            topics: topics.collect(),
            outputs: Vec::new(),
        };
        self.core.mark(&mark, asked_at, EventTime(self.now));
    }

    fn tick(&mut self) -> Result<()> {
        let abandoned = self.core.tick(EventTime(self.now));
        ensure!(abandoned.is_empty(), "offsets were given up: {abandoned:?}");
        self.take_rows();
        Ok(())
    }

    fn take_rows(&mut self) {
        let flows = &self.editions[self.edition];
        let at = (self.epoch, self.action);
        for (flow, rows) in self.core.take_effects().output.rows {
            let columns = flows[flow].table().measures;
            self.fired.extend(rows.into_iter().map(|row| Fired::new(flow, at, &columns, row)));
        }
    }

    fn save(&mut self, bytes: usize) -> Result<()> {
        self.core.fire_changed(EventTime(self.now));
        self.take_rows();
        // The same for any number of changes, so that a round has many checkpoints.
        let budget = Budget { least: bytes, most: bytes };
        let saved = save(&mut self.core, &mut [("w".into(), &mut self.outbox)], &mut self.round, budget);
        self.number += 1;
        if saved.part.first {
            self.first = Some(self.number);
        }
        let payload = saved.encode()?.into();
        self.checkpoints.push(Checkpoint { number: self.number, version: FORMAT, payload });
        if saved.part.last
            && let Some(first) = self.first.take()
        {
            self.checkpoints.retain(|checkpoint| checkpoint.number >= first);
        }
        self.rows.append(&mut self.fired);
        self.saved_edition = self.edition;
        Ok(())
    }

    fn restore(&mut self, edition: usize) -> Result<()> {
        self.fired.clear();
        (self.edition, self.epoch) = (edition, self.epoch + 1);
        if !self.checkpoints.is_empty() {
            self.restore_redefined()?;
        }
        let (core, mut outboxes, _) = self.restoring(&self.editions[edition])?.finish()?;
        (self.core, self.outbox) = (core, outboxes.take("w").unwrap_or_default());
        (self.round, self.first) = (Round::default(), None);
        Ok(())
    }

    fn restoring(&self, flows: &[Flow]) -> Result<Restoring> {
        let mut restoring = Restoring::new(new_core(&self.events, flows, self.now));
        for checkpoint in &self.checkpoints {
            restoring.apply(Saved::decode(checkpoint)?);
        }
        Ok(restoring)
    }

    /// An edit that changes the meaning of counts is rejected, with its key.
    fn restore_redefined(&self) -> Result<()> {
        let settings = &self.case.settings;
        let mut flows = settings.editions[self.edition].clone();
        let (number, kind) = (self.epoch % flows.len(), self.case.seed as usize + self.epoch);
        let before = &settings.editions[self.saved_edition][number];
        let Some((redefined, key)) = flows[number].redefined(before, kind) else { return Ok(()) };
        flows[number] = redefined;
        let (_, flows) = configured(&settings.with_flows(&flows))?;
        let Err(edited) = self.restoring(&flows)?.finish() else { bail!("an edit of {key} is accepted") };
        let name = &before.name;
        ensure!(
            edited.flow == *name && edited.edit.key == key,
            "an edit of {name}.{key} is refused as {edited:?}"
        );
        Ok(())
    }

    /// Leaders report the log ends, until the processor is caught up and every partition is idle.
    fn end(&mut self) -> Result<()> {
        for second in 0..12 {
            self.now = END + 1_000 * second;
            let ends = (0..self.partitions.len()).map(|number| self.end_of(number)).collect();
            self.mark(ends, self.now);
            self.tick()?;
        }
        for flow in self.core.engine().flows() {
            let watermark = flow.windows.watermark();
            ensure!(watermark.0 > END - DAY, "{}: the watermark stays at {watermark}", flow.name());
        }
        self.rows.append(&mut self.fired);
        Ok(())
    }

    fn end_of(&self, number: usize) -> PartitionMark {
        let records = self.case.records.iter().filter(|record| record.partition == number).count() as u64;
        let end = Some(LogEnd { offset: records, asked_at: EventTime(self.now) });
        let partition = self.partitions[number].clone();
        PartitionMark { partition, ranges: Vec::new(), position: records, committed: None, end }
    }
}

fn new_core(events: &EventsSettings, flows: &[Flow], now: i64) -> Core {
    let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(DAY), cold_start: Millis(DAY) };
    Core::new(events, flows.to_vec(), limits, EventTime(now))
}

/// A topic ID in Kafka's format.
fn incarnation() -> Incarnation {
    Incarnation::from("AAAAAAAAAAAAAAAAAAAAAQ")
}
