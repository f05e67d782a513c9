//! The invariants, checked after every step and at the end, from outside: by the contents of Kafka, by what reached
//! Pub/Sub and was acknowledged there, never by the state of the cores.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use event::{
    EventTime, Incarnation, Partition, Ranges,
    mark::{MarkRange, Reason},
};
use flow::append::Append;
use kafka::TopicPartition;
use processor::{
    frontier::{Abandoned, Arrival, Frontier},
    outbox::Outbox,
    saved::Saved,
    store::{Checkpoint, FORMAT},
};

use crate::{
    kafka::{Class, Happening, Kind, Log},
    pubsub::{Body, Form, Sent},
    worker::{Phase, Worker},
    world::World,
};

mod end;
mod ledger;
mod outcomes;
mod prompt;
mod recount;

use self::outcomes::Outcome;
pub(crate) use self::outcomes::Outcomes;

/// The state of the checks.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// What reached Pub/Sub, as data or in a mark.
    landed: BTreeMap<Partition, Ranges>,
    /// The messages of every event's offset.
    copies: BTreeMap<(Arc<Partition>, u64), Vec<usize>>,
    /// The newest checkpoint that was created.
    head: Option<Frontier>,
    head_watermarks: Vec<i64>,
    /// Every request that a checkpoint of the chain contains, by stream and offset.
    fixed: BTreeMap<(String, u64), Vec<Arc<[u8]>>>,
    /// The expected outcome of each offset, as of every checkpoint.
    outcomes: BTreeMap<u64, Rc<Outcomes>>,
}

impl Check {
    pub(crate) fn forget_state(&mut self) {
        self.head = None;
        self.head_watermarks.clear();
        self.outcomes.clear();
    }

    /// The offsets that are rejected according to the newest checkpoint.
    pub(crate) fn rejected(&self) -> Vec<(Partition, u64)> {
        let newest = self.outcomes.values().next_back();
        let all = newest.iter().flat_map(|outcomes| outcomes.iter());
        let rejected = all.filter(|(_, _, outcome)| *outcome == Outcome::Rejected);
        rejected.map(|(partition, offset, _)| (partition.clone(), offset)).collect()
    }

    /// The expected outcome of each offset at the time of a checkpoint.
    pub(crate) fn outcomes_of(&self, checkpoint: Option<u64>) -> Outcomes {
        let outcomes = checkpoint.and_then(|number| self.outcomes.get(&number));
        outcomes.map(|outcomes| (**outcomes).clone()).unwrap_or_default()
    }
}

/// The numbers of the next requests, by processor, its start and writer.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    at: i64,
    next: Vec<(usize, u32, Vec<u64>)>,
}

impl World {
    /// An offset is committed only when everything below it is in Pub/Sub.
    pub(crate) fn check_commit(&mut self, place: &TopicPartition, offset: u64, metadata: &str) {
        let partition = Partition {
            topic: place.0.clone(),
            incarnation: Incarnation::from(metadata),
            partition: place.1,
        };
        // A start that is committed before anything is read is marked as such.
        if metadata.ends_with(" before") {
            return;
        }
        let landed = self.check.landed.get(&partition).map_or(0, |landed| landed.prefix_end(0));
        if landed < offset {
            self.fail(format!("{partition} is committed up to {offset}, Pub/Sub has it up to {landed}"));
        }
    }

    pub(crate) fn check_landed(&mut self, body: &Body) {
        match body {
            Body::Data { partition, records, .. } => {
                let message = self.pubsub.messages.len();
                for Sent { offset, .. } in records {
                    self.check.landed.entry((**partition).clone()).or_default().insert(*offset..offset + 1);
                    self.check.copies.entry((partition.clone(), *offset)).or_default().push(message);
                }
            }
            Body::Mark(written) => {
                for entry in &written.mark.partitions {
                    for range in &entry.ranges {
                        let landed = self.check.landed.entry(entry.partition.clone()).or_default();
                        landed.insert(range.offsets());
                        self.check_range(&entry.partition, range);
                    }
                }
            }
        }
    }

    /// Every offset of a range matches its reason.
    fn check_range(&mut self, partition: &Partition, range: &MarkRange) {
        let Some(log) = self.log_of(partition) else { return };
        let differ = self.plan.config.replicas_differ;
        let is_it = |offset: u64| match &range.reason {
            Reason::Empty => !log.is_readable(offset),
            Reason::Rejected(_) | Reason::Filtered => match &log.records[offset as usize].kind {
                Kind::Poison | Kind::Refused => true,
                Kind::Event(event) => differ && event.class == Class::Contested,
                Kind::Removed => differ,
                Kind::Control => false,
            },
            Reason::Lost => offset < log.low,
            Reason::Before => offset < log.low.max(self.required_from(log)),
        };
        if let Some(offset) = range.offsets().find(|offset| !is_it(*offset)) {
            let (reason, record) = (&range.reason, &log.records[offset as usize].kind);
            let record = match record {
                Kind::Event(event) => format!("event {}", event.number),
                other => format!("{other:?}"),
            };
            self.fail(format!("a mark calls {partition}@{offset} {reason:?}, and it is {record}"));
        }
    }

    /// An operator set the offset to beyond it.
    fn is_passed_over(&self, partition: &Partition, offset: u64) -> bool {
        self.log_of(partition).and_then(|log| log.reset_to).is_some_and(|reset_to| offset < reset_to)
    }

    fn log_of(&self, partition: &Partition) -> Option<&Log> {
        let live = self.kafka.logs().map(|(_, log)| log);
        live.chain(&self.kafka.dead).find(|log| *log.partition == *partition)
    }

    /// No event that is in time is written behind a watermark.
    pub(crate) fn check_appended(&mut self, time: i64) {
        for number in 0..self.workers.len() {
            let Some(running) = self.workers[number].running() else { continue };
            if let Some(watermark) = running.watermarks.first().filter(|w| w.0 > time) {
                let watermark = watermark.0 - self.plan.config.epoch;
                let time = time - self.plan.config.epoch;
                return self.fail(format!("an event of {time} is written behind the watermark {watermark}"));
            }
        }
    }

    /// An operator reset the offset: lower offsets need not have arrived.
    pub(crate) fn check_reset(&mut self, partition: &Partition, offset: u64) {
        self.check.landed.entry(partition.clone()).or_default().insert(0..offset);
    }

    /// Nothing is read from below where an operator set the offset.
    pub(crate) fn check_read(&mut self, place: &TopicPartition, next: u64) {
        let reset_to = self.kafka.log(place).and_then(|log| log.reset_to);
        if let Some(offset) = reset_to.filter(|offset| next < *offset) {
            let (topic, number) = place;
            self.fail(format!("{topic}[{number}] is read from {next}, and was set to {offset}"));
        }
    }

    /// An older incarnation of a topic holds the watermark at what was read of it, for a while.
    fn check_older_incarnations(&mut self, number: usize, before: EventTime) {
        let Some(running) = self.workers[number].running() else { return };
        let (watermark, outcomes) = (running.watermarks[0], &running.outcomes);
        // The wait begins when it has heard of the incarnation and of a newer one, which may be before the end of the
        // older.
        let waits = |log: &&Log| self.now < log.died_at + self.plan.config.hole_limit / 2;
        let found = self.kafka.dead.iter().filter(waits).find_map(|log| {
            let heard = outcomes.heard.get(&*log.partition).map_or(0, |heard| (*heard).min(log.high()));
            let is_passed = |offset: &u64| {
                outcomes.get(&log.partition, *offset).is_none()
                    && log.is_event(*offset).is_some_and(|event| {
                        event.class == Class::Firm && (before.0..watermark.0).contains(&event.time)
                    })
            };
            (log.low..heard).find(is_passed).map(|offset| (log.partition.clone(), offset))
        });
        if let Some((partition, offset)) = found {
            let watermark = watermark.0 - self.plan.config.epoch;
            self.fail(format!("the watermark {watermark} passes {partition}@{offset}, of an older starts"));
        }
    }

    pub(crate) fn check_recovered(&mut self, number: usize) {
        self.check_passed(number, EventTime::MIN);
    }

    /// The watermark never moves back and passes no event; the ledger equals what the frontier accounts for.
    pub(crate) fn check_tick(&mut self, number: usize) {
        let Some(running) = self.workers[number].running() else { return };
        let core = running.stages.core();
        let now: Vec<EventTime> = core.engine().flows().iter().map(|flow| flow.windows.watermark()).collect();
        let before = running.watermarks.clone();
        if let Some(wrong) = self.wrong_ledger(running) {
            return self.fail(wrong);
        }
        if let Phase::Running(running) = &mut self.workers[number].phase {
            running.outcomes.is_checked = true;
        }
        if before.iter().zip(&now).any(|(before, now)| now < before) {
            return self.fail(format!("a watermark goes back: {before:?} to {now:?}"));
        }
        if let Phase::Running(running) = &mut self.workers[number].phase {
            running.watermarks = now;
        }
        self.check_passed(number, before[0]);
        self.check_older_incarnations(number, before[0]);
        self.check_prompt(number);
    }

    fn event_of(&self, outcome: Outcome) -> Option<&Happening> {
        match outcome {
            Outcome::Data(number, _) => Some(&*self.events[number]),
            _ => None,
        }
    }

    /// No event that is on time and has not arrived is behind the watermark.
    fn check_passed(&mut self, number: usize, before: EventTime) {
        let Some(running) = self.workers[number].running() else { return };
        let watermark = running.watermarks[0];
        if watermark == before {
            return;
        }
        let frontier = running.stages.core().frontier();
        let passed = |log: &Log, offset: u64| {
            log.is_event(offset).is_some_and(|event| {
                matches!(event.class, Class::Firm | Class::Contested)
                    && (before.0..watermark.0).contains(&event.time)
            }) && frontier.peek(&log.partition, offset) == Arrival::New
        };
        let found =
            self.kafka.logs().filter(|(place, _)| self.topics.contains(&place.0)).find_map(|(_, log)| {
                let from = self.required_from(log).max(log.low);
                let offset = (from..log.high()).find(|offset| passed(log, *offset))?;
                Some((log.partition.clone(), offset))
            });
        if let Some((partition, offset)) = found {
            let watermark = watermark.0 - self.plan.config.epoch;
            self.fail(format!("the watermark {watermark} passes {partition}@{offset}, which has not come"));
        }
    }

    /// Only offsets that do not arrive are given up.
    pub(crate) fn check_abandoned(&mut self, number: usize, holes: &[Abandoned]) {
        // Of two running processors one is fenced by its next checkpoint; its state until then does not count.
        let is_alone = self.workers.iter().filter(|worker| worker.running().is_some()).count() < 2;
        for hole in holes {
            self.log(|| format!("processor {number} gives up {} {:?}", hole.partition, hole.offsets));
            for offset in hole.offsets.clone() {
                if hole.before_start {
                    continue;
                }
                let copies = self.check.copies.get(&(Arc::new(hole.partition.clone()), offset));
                if copies.is_none() && self.is_passed_over(&hole.partition, offset) {
                    continue;
                }
                let comes = |message: &usize| {
                    let message = &self.pubsub.messages[*message];
                    !message.is_vanished && !message.is_stalled
                };
                let is_wrong = copies.is_none_or(|copies| copies.iter().any(comes));
                if is_wrong && is_alone && !self.plan.config.is_inexact {
                    let what = format!("{}@{offset} is given up, and its message comes", hole.partition);
                    return self.fail(what);
                }
            }
        }
    }

    /// Another checkpoint was created: nothing in it moves back.
    pub(crate) fn check_head(&mut self, number: u64, payload: &Bytes, outcomes: Rc<Outcomes>) {
        self.check.outcomes.insert(number, outcomes);
        let checkpoint = Checkpoint { number: 0, version: FORMAT, payload: payload.clone() };
        let saved = Saved::decode(&checkpoint).expect("the simulation wrote it");
        let watermarks: Vec<i64> = saved.flows.iter().map(|flow| flow.windows.watermark.0).collect();
        for saved in [saved.outbox].into_iter().chain(saved.others) {
            let mut outbox = Outbox::default();
            outbox.restore(saved);
            for (_, append) in outbox.pending_from(0) {
                let place = (append.stream.clone(), append.offset);
                self.check.fixed.entry(place).or_default().push(append.body.clone());
            }
        }
        self.check.head = Some(saved.frontier);
        let before = std::mem::replace(&mut self.check.head_watermarks, watermarks.clone());
        if before.iter().zip(&watermarks).any(|(before, now)| now < before) {
            self.fail(format!("a checkpoint's watermark goes back: {before:?} to {watermarks:?}"));
        }
    }

    /// Nothing is acknowledged that the newest checkpoint does not hold.
    pub(crate) fn check_ack(&mut self, number: usize, message: usize) {
        let is_held = match &self.check.head {
            None => false,
            Some(head) => match &self.pubsub.messages[message].body {
                Body::Data { partition, records, form } => {
                    let newest = self.check.outcomes.values().next_back();
                    let is_redriven = |offset: u64| {
                        newest.is_some_and(|o| o.get(partition, offset) != Some(Outcome::Rejected))
                    };
                    let must = matches!(form, Form::Redrive(_));
                    records.iter().all(|sent| {
                        let is_covered = head.peek(partition, sent.offset) != Arrival::New;
                        is_covered && (!must || is_redriven(sent.offset))
                    })
                }
                Body::Mark(written) => written.mark.partitions.iter().all(|entry| {
                    entry.ranges.iter().all(|range| {
                        let mut tracks = head.tracks();
                        let track = tracks.find(|(partition, _)| **partition == entry.partition);
                        track.is_some_and(|(_, track)| track.gaps(range.offsets()).is_empty())
                    })
                }),
            },
        };
        if !is_held {
            self.fail(format!(
                "processor {number} acknowledges message {message}, which no checkpoint holds"
            ));
        }
    }

    /// Nothing is sent that is not in a checkpoint of the chain.
    pub(crate) fn check_append(&mut self, number: usize, append: &Append) {
        let fixed = self.check.fixed.get(&(append.stream.clone(), append.offset));
        if fixed.is_none_or(|bodies| !bodies.contains(&append.body)) {
            let what = format!(
                "processor {number} sends rows to {} at {}, which no checkpoint fixes",
                append.stream, append.offset
            );
            self.fail(what);
        }
    }

    /// The requests that each running processor has given to each writer.
    pub(crate) fn given(&self) -> Given {
        let given = |(number, worker): (usize, &Worker)| {
            let deliveries = worker.running()?.stages.deliveries();
            let next = deliveries.iter().map(|delivery| delivery.outbox().next()).collect();
            Some((number, worker.starts, next))
        };
        Given { at: self.now, next: self.workers.iter().enumerate().filter_map(given).collect() }
    }

    /// A writer that did not answer for a long time has not held up the others: what they had been given is in their tables.
    pub(crate) fn check_others(&mut self, down: usize, given: &Given) {
        /// Enough for checkpoints and requests that are repeated several times.
        const LONG: i64 = 12_000;
        if self.now - given.at < LONG {
            return;
        }
        for (number, starts, next) in &given.next {
            let worker = &self.workers[*number];
            let was_up = worker.starts == *starts && worker.paused_until < given.at;
            let Some(running) = worker.running().filter(|_| was_up) else { continue };
            for (writer, delivery) in running.stages.deliveries().iter().enumerate() {
                let answered = writer != down && self.down_until[writer] < given.at;
                let first = delivery.outbox().pending_from(0).next().map(|(first, _)| *first);
                if answered && first.is_some_and(|first| first < next[writer]) {
                    return self.fail(format!("writer {writer} waits while writer {down} does not answer"));
                }
            }
        }
    }

    pub(crate) fn check_tables(&mut self) {
        let wrong: Vec<String> =
            self.sinks.iter().flat_map(|sink| std::mem::take(&mut sink.tables().wrong)).collect();
        // After a lost state, the panes that it wrote are unknown.
        if let Some(wrong) = wrong.into_iter().next()
            && !self.plan.config.is_inexact
        {
            self.fail(wrong);
        }
    }
}
