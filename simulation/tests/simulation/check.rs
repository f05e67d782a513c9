//! The invariants, after every step and at the end, judged from outside: by what stands in Kafka, what reached Pub/Sub
//! and what was acknowledged there, never by what the cores believe.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use connector::plan::Place;
use event::{EventTime, Incarnation, Partition, Ranges, Windows, append::Append, mark::Reason};
use processor::{
    frontier::{Abandoned, Arrival, Frontier},
    outbox::Outbox,
    saved::Saved,
    store::{Checkpoint, FORMAT, Kind},
};

use crate::{
    kafka::{Class, Log},
    plan::millis,
    pubsub::Body,
    table::key,
    world::World,
};

/// What the checks remember.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// What reached Pub/Sub, as data or in a mark.
    landed: BTreeMap<Partition, Ranges>,
    /// The messages of every event's offset.
    copies: BTreeMap<(Arc<Partition>, u64), Vec<usize>>,
    /// The newest checkpoint that was ever created.
    head: Option<Frontier>,
    head_watermarks: Vec<i64>,
    /// Every request that a checkpoint of the chain fixed, by stream and offset.
    fixed: BTreeMap<(String, u64), Vec<Arc<[u8]>>>,
    /// Offsets that were given up.
    abandoned: BTreeSet<(Partition, u64)>,
}

/// Flow, start of the window, key.
type Cell = (String, i64, String);
type Finals = BTreeMap<Cell, (u64, u64)>;

impl Check {
    pub(crate) fn forget_state(&mut self) {
        self.head = None;
        self.head_watermarks.clear();
    }
}

impl World {
    /// An offset is committed only when everything below it is in Pub/Sub.
    pub(crate) fn check_commit(&mut self, place: &Place, offset: u64, metadata: &str) {
        let partition = Partition {
            topic: place.0.clone(),
            incarnation: Incarnation::from(metadata),
            partition: place.1,
        };
        // A start that is committed before anything is read says so.
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
            Body::Data { partition, offset, .. } => {
                let message = self.pubsub.messages.len();
                self.check.landed.entry((**partition).clone()).or_default().insert(*offset..offset + 1);
                self.check.copies.entry((partition.clone(), *offset)).or_default().push(message);
            }
            Body::Mark(mark) => {
                for entry in &mark.partitions {
                    for range in &entry.ranges {
                        let landed = self.check.landed.entry(entry.partition.clone()).or_default();
                        landed.insert(range.offsets());
                        if range.reason == Reason::Empty {
                            self.check_empty(&entry.partition, range.offsets());
                        }
                    }
                }
            }
        }
    }

    /// What a mark calls empty holds no event.
    fn check_empty(&mut self, partition: &Partition, mut offsets: std::ops::Range<u64>) {
        let Some(log) = self.log_of(partition) else { return };
        let firm = |offset: &u64| log.is_event(*offset).is_some_and(|event| event.class == Class::Firm);
        if let Some(offset) = offsets.find(firm) {
            self.fail(format!("a mark calls {partition}@{offset} empty, and an event stands there"));
        }
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

    pub(crate) fn check_recovered(&mut self, number: usize) {
        self.check_passed(number, EventTime::MIN);
    }

    /// The watermark never goes back and passes nothing; the ledger is what the frontier accounts for.
    pub(crate) fn check_tick(&mut self, number: usize) {
        let Some(running) = self.workers[number].running() else { return };
        let core = running.stages.core();
        let now: Vec<EventTime> = core.engine().flows().iter().map(|flow| flow.windows.watermark()).collect();
        let before = running.watermarks.clone();
        let accounted = core.frontier().accounted();
        for flow in core.engine().flows() {
            let total = flow.ledger.total();
            if total != accounted {
                let ledger = flow.ledger;
                return self.fail(format!("the ledger has {total} of {accounted} offsets: {ledger:?}"));
            }
        }
        if before.iter().zip(&now).any(|(before, now)| now < before) {
            return self.fail(format!("a watermark goes back: {before:?} to {now:?}"));
        }
        if let crate::worker::Phase::Running(running) = &mut self.workers[number].phase {
            running.watermarks = now;
        }
        self.check_passed(number, before[0]);
    }

    /// No event that is in time and to come lies behind the watermark.
    fn check_passed(&mut self, number: usize, before: EventTime) {
        let Some(running) = self.workers[number].running() else { return };
        let watermark = running.watermarks[0];
        if watermark == before {
            return;
        }
        let frontier = running.stages.core().frontier();
        let passed = |log: &Log, offset: u64| {
            log.is_event(offset).is_some_and(|event| {
                event.class == Class::Firm && (before.0..watermark.0).contains(&event.time)
            }) && frontier.peek(&log.partition, offset) == Arrival::New
        };
        let late = |log: &Log| if self.begins_late() { log.first_start.unwrap_or(u64::MAX) } else { 0 };
        let found =
            self.kafka.logs().filter(|(place, _)| self.topics.contains(&place.0)).find_map(|(_, log)| {
                let offset = (late(log).max(log.low)..log.high()).find(|offset| passed(log, *offset))?;
                Some((log.partition.clone(), offset))
            });
        if let Some((partition, offset)) = found {
            let watermark = watermark.0 - self.plan.config.epoch;
            self.fail(format!("the watermark {watermark} passes {partition}@{offset}, which has not come"));
        }
    }

    /// Only what does not come is given up.
    pub(crate) fn check_abandoned(&mut self, number: usize, holes: &[Abandoned]) {
        for hole in holes {
            self.tell(|| format!("processor {number} gives up {} {:?}", hole.partition, hole.offsets));
            for offset in hole.offsets.clone() {
                self.check.abandoned.insert((hole.partition.clone(), offset));
                if hole.before_start {
                    continue;
                }
                let copies = self.check.copies.get(&(Arc::new(hole.partition.clone()), offset));
                let comes = |message: &usize| {
                    let message = &self.pubsub.messages[*message];
                    !message.is_vanished && !message.is_stuck
                };
                if copies.is_none_or(|copies| copies.iter().any(comes)) && !self.plan.config.is_inexact {
                    let what = format!("{}@{offset} is given up, and its message comes", hole.partition);
                    return self.fail(what);
                }
            }
        }
    }

    /// Another checkpoint was created: nothing in it goes back.
    pub(crate) fn check_head(&mut self, payload: &Bytes) {
        let checkpoint =
            Checkpoint { number: 0, kind: Kind::Delta, version: FORMAT, payload: payload.clone() };
        let saved = Saved::decode(&checkpoint).expect("the simulation wrote it");
        let watermarks: Vec<i64> = saved.flows.iter().map(|flow| flow.windows.watermark).collect();
        let mut outbox = Outbox::default();
        outbox.restore(saved.outbox);
        for (_, append) in outbox.pending_from(0) {
            let place = (append.stream.clone(), append.offset);
            self.check.fixed.entry(place).or_default().push(append.body.clone());
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
                Body::Data { partition, offset, .. } => head.peek(partition, *offset) != Arrival::New,
                Body::Mark(mark) => mark.partitions.iter().all(|entry| {
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

    /// Nothing is sent that no checkpoint of the chain has fixed.
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

    pub(crate) fn check_tables(&mut self) {
        let wrong = std::mem::take(&mut self.sink.tables().wrong);
        // A lost state knows nothing of the panes that it wrote.
        if let Some(wrong) = wrong.into_iter().next()
            && !self.plan.config.is_inexact
        {
            self.fail(wrong);
        }
    }

    /// Whether all has come to an end; the processor that brought it there.
    pub(crate) fn look(&mut self) -> Option<usize> {
        let config = &self.plan.config;
        let newest = self.events.iter().filter(|e| e.class != Class::Future).map(|e| e.time).max();
        let end = newest.unwrap_or(config.epoch) + 2 * config.size + config.lateness;
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
        if !running.stages.outbox().is_empty() || core.has_rows() {
            return Err(format!("{} requests wait", running.stages.outbox().len()));
        }
        Ok(number)
    }

    /// The final rows are a recount of the log. Returns how many events they hold.
    pub(crate) fn check_end(&mut self, number: usize) -> usize {
        if self.plan.config.is_inexact {
            return 0;
        }
        let mut taken: BTreeMap<usize, (usize, i64)> = BTreeMap::new();
        let (mut wrong, mut loose) = (None, 0usize);
        let live: Vec<(Place, &Log)> = self.kafka.logs().collect();
        let dead = self.kafka.dead.iter().map(|log| (None, log));
        for (place, log) in live.iter().map(|(place, log)| (Some(place), *log)).chain(dead) {
            for offset in 0..log.high() {
                let Some(event) = log.is_event(offset) else { continue };
                let copies = self.check.copies.get(&(log.partition.clone(), offset));
                let came = copies.is_some_and(|c| c.iter().any(|m| self.pubsub.messages[*m].is_acked));
                let is_excused = place.is_none_or(|place| !self.topics.contains(&place.0))
                    || offset < log.low
                    || copies.is_some()
                    || (self.begins_late() && log.first_start.is_none_or(|first| offset < first));
                match event.class {
                    Class::Loose => loose += 1,
                    Class::Firm | Class::Future if !came && !is_excused => {
                        wrong = Some(format!("{}@{offset} was never published", log.partition));
                    }
                    Class::Firm | Class::Copy | Class::Future if came => {
                        let given_up = self.check.abandoned.contains(&((*log.partition).clone(), offset));
                        if !given_up {
                            let kafka = log.records[offset as usize].timestamp;
                            taken.insert(event.id, (event.number, kafka));
                        }
                    }
                    _ => {}
                }
            }
        }
        let counted = taken.len();
        if let Some(wrong) = wrong {
            self.fail(wrong);
            return counted;
        }
        let expected = self.recount(&taken);
        let finals = self.finals();
        self.compare(&expected, &finals);
        self.check_ledger(number, loose);
        counted
    }

    fn recount(&self, taken: &BTreeMap<usize, (usize, i64)>) -> Finals {
        let mut finals = Finals::new();
        let config = &self.plan.config;
        let laid =
            |period| Windows::try_new(millis(config.size), millis(period)).expect("lengths are positive");
        let flows = [("sliding", laid(config.size / 2), true), ("fixed", laid(config.size), config.has_ids)];
        for (number, kafka) in taken.values() {
            let event = &self.events[*number];
            for (name, windows, by_event) in &flows {
                // Its own time is refused, Kafka's is not.
                if *by_event && event.class == Class::Future {
                    continue;
                }
                let time = EventTime(if *by_event { event.time } else { *kafka });
                for window in windows.holding(time) {
                    let place = ((*name).to_owned(), window.start.0, event.key.clone());
                    let count = finals.entry(place).or_default();
                    if event.is_view { count.0 += 1 } else { count.1 += 1 }
                }
            }
        }
        finals
    }

    fn finals(&self) -> Finals {
        let tables = self.sink.tables();
        let mut newest: BTreeMap<Cell, (u32, (u64, u64))> = BTreeMap::new();
        for (flow, row) in &tables.rows {
            let place = (flow.to_string(), row.window.start.0, key(row));
            let entry = newest.entry(place).or_default();
            if row.pane_index >= entry.0 {
                *entry = (row.pane_index, (row.ctr.views, row.ctr.clicks));
            }
        }
        newest.into_iter().map(|(place, (_, count))| (place, count)).collect()
    }

    fn compare(&mut self, expected: &Finals, finals: &Finals) {
        let is_loose = |place: &Cell| place.2.starts_with('x');
        let twice = finals.iter().find(|(place, count)| is_loose(place) && count.0 + count.1 > 1);
        // An event that came after it was given up may be late, or counted.
        let is_blurred = !self.check.abandoned.is_empty();
        let differs = expected.iter().find(|(place, count)| match finals.get(*place) {
            None => true,
            Some(found) if is_blurred => found.0 < count.0 || found.1 < count.1,
            Some(found) => found != *count,
        });
        let extra = finals
            .iter()
            .find(|(place, _)| !is_loose(place) && !expected.contains_key(*place) && !is_blurred);
        let (epoch, name) = (self.plan.config.epoch, |p: &Cell| p.clone());
        let text = |p: Cell| format!("{} window {} key {}", p.0, p.1 - epoch, p.2);
        if let Some((place, count)) = twice.or(extra) {
            self.fail(format!("{} has {count:?}, which is too much", text(name(place))));
        } else if let Some((place, count)) = differs {
            let found = finals.get(place);
            self.fail(format!("{} should have {count:?} and has {found:?}", text(name(place))));
        }
    }

    /// In the ledger: every data message that was taken, once.
    fn check_ledger(&mut self, number: usize, loose: usize) {
        use event::ledger::Outcome::{Counted, Duplicate, Ignored, Late, Rejected};
        let Some(running) = self.workers[number].running() else { return };
        if !self.check.abandoned.is_empty() || self.plan.config.replicas_differ || loose > 0 {
            return;
        }
        let came = |copies: &&Vec<usize>| copies.iter().any(|m| self.pubsub.messages[*m].is_acked);
        let taken = self.check.copies.values().filter(came).count() as u64;
        let poison: u64 = self.kafka.logs().map(|(_, log)| log).chain(&self.kafka.dead).map(poison).sum();
        for flow in running.stages.core().engine().flows() {
            let sum: u64 =
                [Counted, Duplicate, Late, Ignored, Rejected].map(|o| flow.ledger.get(o)).iter().sum();
            if flow.ledger.get(Late) > 0 {
                return self.fail(format!("events in time were late: {:?}", flow.ledger));
            }
            if sum < taken || sum > taken + poison {
                return self.fail(format!("{taken} events came, the ledger has {sum}: {:?}", flow.ledger));
            }
        }
    }
}

fn poison(log: &Log) -> u64 {
    log.records.iter().filter(|r| matches!(r.kind, crate::kafka::Kind::Poison)).count() as u64
}
