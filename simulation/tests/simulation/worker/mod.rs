//! One processor: the real stages, core and store, with a model of its driver and tasks.

mod saving;
mod sending;

use std::{
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use event::EventTime;
use flow::append::{Append, Appended, Table};
use futures::FutureExt;
use processor::{
    ProcessorError,
    core::Core,
    frontier::Limits,
    records::{RecordReader, Records},
    saved::{self, Restoring},
    stages::{Size, Stages},
    store::{Appender, Part, Recovered, Store, StoreError},
};

use crate::{
    check::Outcomes,
    plan::millis,
    pubsub::{self, Body, Form, Sent},
    store::PREFIX,
    wire::Version,
    world::{Event, World},
};

const PULL: i64 = 150;
const TICK: i64 = 400;
const PERIOD: i64 = 2_000;
const SOONEST: i64 = 250;
const LEASE: i64 = 10_000;

pub(crate) struct Worker {
    pub(crate) starts: u32,
    pub(crate) is_up: bool,
    pub(crate) paused_until: i64,
    pub(crate) version: Version,
    pub(crate) phase: Phase,
    store: Option<Store>,
}

pub(crate) enum Phase {
    /// Another processor owns the state: its newest checkpoint, and since when that is the newest.
    StandBy(u64, i64),
    Recovering(Work<Result<(Recovered, Restoring), ProcessorError>>),
    Running(Box<Running>),
}

type Work<T> = Pin<Box<dyn Future<Output = T>>>;
type Saving = Work<(Box<Appender>, Result<(), StoreError>)>;

pub(crate) struct Running {
    pub(crate) stages: Stages<usize>,
    reader: RecordReader,
    appender: Option<Box<Appender>>,
    saving: Option<(Saving, Part, Bytes)>,
    last_checkpoint: i64,
    streams_asked: bool,
    /// For each writer.
    sending: Vec<Sending>,
    /// Checkpoints that a clean shutdown still has to write.
    last: Option<u32>,
    /// The flows' watermarks at the last check.
    pub(crate) watermarks: Vec<EventTime>,
    /// The first of them as it was recovered, and when.
    pub(crate) recovered: (EventTime, i64),
    /// The expected outcome of each offset.
    pub(crate) outcomes: Outcomes,
    /// The same, as of the checkpoint in progress.
    saving_outcomes: Rc<Outcomes>,
}

/// Requests that are being sent to a writer, and the last one that is done.
#[derive(Default)]
struct Sending {
    requests: VecDeque<(u64, Append)>,
    done: Option<u64>,
}

/// An event of one worker. The first numbers are those of writers.
#[derive(Debug)]
pub(crate) enum Happens {
    Pull,
    Tick,
    Store,
    SaveAgain,
    Opened(usize, Vec<Table>),
    Reopen(usize),
    Send(usize),
    Answer(usize, Option<Appended>),
}

impl Worker {
    pub(crate) fn new() -> Self {
        Self {
            starts: 0,
            is_up: false,
            paused_until: 0,
            version: Version::default(),
            phase: Phase::StandBy(0, 0),
            store: None,
        }
    }

    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.phase {
            Phase::Running(running) if self.is_up => Some(running),
            _ => None,
        }
    }
}

impl World {
    pub(crate) fn boot_worker(&mut self, number: usize) {
        if self.workers[number].is_up {
            return;
        }
        self.log(|| format!("processor {number} starts"));
        let (starts, version) = (self.workers[number].starts + 1, self.workers[number].version);
        let phase = Phase::StandBy(u64::MAX, self.now);
        let store = Some(Store::over(Arc::new(self.store.clone()), PREFIX));
        self.workers[number] = Worker { starts, is_up: true, paused_until: 0, version, phase, store };
        self.for_worker(number, 10, Happens::Tick);
    }

    pub(crate) fn crash_worker(&mut self, number: usize) {
        self.log(|| format!("processor {number} crashes"));
        self.workers[number].is_up = false;
        self.workers[number].phase = Phase::StandBy(0, 0);
    }

    pub(crate) fn pause_worker(&mut self, number: usize, millis: i64) {
        self.log(|| format!("processor {number} is suspended for {millis} ms"));
        self.workers[number].paused_until = self.now + millis;
    }

    pub(crate) fn stop_worker(&mut self, number: usize) {
        self.log(|| format!("processor {number} is stopped"));
        match &mut self.workers[number].phase {
            Phase::Running(running) => running.last = Some(2),
            _ => self.workers[number].is_up = false,
        }
    }

    /// It exits; its messages are redelivered.
    fn end_worker(&mut self, number: usize, why: &str) {
        self.log(|| format!("processor {number} ends: {why}"));
        let starts = self.workers[number].starts;
        self.workers[number].is_up = false;
        self.workers[number].phase = Phase::StandBy(0, 0);
        for message in 0..self.pubsub.messages.len() {
            if self.pubsub.messages[message].lease == Some((number, starts)) {
                self.pubsub.messages[message].lease = None;
                self.at(20, Event::Ready(message));
            }
        }
        self.at(1_500, Event::BootWorker(number));
    }

    pub(crate) fn worker_happens(&mut self, number: usize, happens: Happens) {
        if matches!(happens, Happens::Tick) {
            self.for_worker(number, TICK, Happens::Tick);
        }
        match (&mut self.workers[number].phase, happens) {
            (Phase::StandBy(..), Happens::Tick) => self.stand_by(number),
            (Phase::Recovering(_), Happens::Store) => self.recovering(number),
            (Phase::Running(_), Happens::Tick) => self.worker_tick(number),
            (Phase::Running(_), Happens::Pull) => self.pull(number),
            (Phase::Running(_), Happens::Store) => self.saving(number),
            (Phase::Running(_), Happens::SaveAgain) => self.save_again(number),
            (Phase::Running(_), Happens::Opened(writer, tables)) => self.opened(number, writer, &tables),
            (Phase::Running(_), Happens::Reopen(writer)) => self.reopen(number, writer),
            (Phase::Running(_), Happens::Send(writer)) => self.send(number, writer),
            (Phase::Running(_), Happens::Answer(writer, answer)) => self.answer(number, writer, answer),
            _ => {}
        }
    }

    /// Watches the holder; pulls nothing.
    fn stand_by(&mut self, number: usize) {
        let newest = self.store.dial().newest;
        let Phase::StandBy(seen, since) = &mut self.workers[number].phase else { return };
        if *seen != newest {
            (*seen, *since) = (newest, self.now);
        }
        let still = self.now - *since;
        let others = (0..self.workers.len()).filter(|other| *other != number);
        // A lock is released by a crash, not by a suspension.
        let is_locked = others.clone().any(|other| self.workers[other].is_up && !self.is_standing_by(other));
        let is_free = self.plan.config.has_lock && !is_locked;
        if newest > 0 && !is_free && still < self.plan.config.takeover_after {
            return;
        }
        if newest == 0 && is_locked {
            return;
        }
        self.log(|| format!("processor {number} takes the state"));
        let store = self.workers[number].store.clone().expect("it was booted");
        let new_core = self.new_core();
        let work = async move { saved::recover(&store, new_core).await }.boxed_local();
        self.workers[number].phase = Phase::Recovering(work);
        self.for_worker(number, 20, Happens::Store);
    }

    fn is_standing_by(&self, number: usize) -> bool {
        matches!(self.workers[number].phase, Phase::StandBy(..))
    }

    fn recovering(&mut self, number: usize) {
        let Phase::Recovering(work) = &mut self.workers[number].phase else { return };
        let recovered = match poll(work) {
            None => return self.for_worker(number, 30, Happens::Store),
            Some(Ok(recovered)) => recovered,
            Some(Err(error)) => return self.fail(format!("the state cannot be recovered: {error}")),
        };
        let (recovered, restoring) = recovered;
        let (core, outboxes, _) = match restoring.finish() {
            Ok(restored) => restored,
            Err(error) => return self.fail(format!("the state does not fit: {error}")),
        };
        let store = self.workers[number].store.clone().expect("it was booted");
        let watermarks: Vec<EventTime> =
            core.engine().flows().iter().map(|flow| flow.windows.watermark()).collect();
        let names: Vec<Arc<str>> = (0..self.sinks.len()).map(|writer| format!("w{writer}").into()).collect();
        self.log(|| format!("processor {number} continues after checkpoint {:?}", recovered.newest));
        self.workers[number].phase = Phase::Running(Box::new(Running {
            reader: RecordReader::new(core.engine().reader()),
            stages: Stages::new(core, outboxes, &names),
            appender: Some(Box::new(store.appender(&recovered))),
            saving: None,
            last_checkpoint: i64::MIN / 2,
            streams_asked: false,
            sending: self.sinks.iter().map(|_| Sending::default()).collect(),
            last: None,
            recovered: (watermarks[0], self.now),
            watermarks,
            outcomes: self.check.outcomes_of(recovered.newest),
            saving_outcomes: Rc::default(),
        }));
        self.check_recovered(number);
        self.for_worker(number, 10, Happens::Pull);
    }

    /// Creates cores without state, at the current time.
    fn new_core(&self) -> impl Fn() -> Core + use<> {
        let config = &self.plan.config;
        let limits = Limits {
            idle_after: millis(config.idle_after),
            hole_limit: millis(config.hole_limit),
            cold_start: millis(config.cold_start),
        };
        let (events, flows, now) = (config.events(), config.flows(), EventTime(self.now));
        move || Core::new(&events, flows.clone(), limits, now)
    }

    fn pull(&mut self, number: usize) {
        self.for_worker(number, PULL, Happens::Pull);
        let starts = self.workers[number].starts;
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        if !running.stages.has_room() || running.last.is_some() {
            return;
        }
        for kind in [pubsub::Kind::Marks, pubsub::Kind::Data] {
            for n in 0..self.plan.config.pull {
                let draw = self.dice.roll("pull", &[self.now.unsigned_abs(), number as u64, n]);
                let Some(message) = self.pubsub.pull(kind, draw) else { break };
                if let Err(error) = self.apply(number, starts, message) {
                    return self.end_worker(number, &error.to_string());
                }
            }
        }
    }

    /// Applies a message, as the driver does.
    fn apply(&mut self, number: usize, starts: u32, index: usize) -> Result<(), ProcessorError> {
        let now = EventTime(self.now);
        let version = self.workers[number].version;
        let message = &mut self.pubsub.messages[index];
        message.deliveries += 1;
        message.lease = Some((number, starts));
        let deliveries = message.deliveries;
        let published = EventTime(message.published);
        let Phase::Running(running) = &mut self.workers[number].phase else { return Ok(()) };
        match &message.body {
            Body::Data { partition, records, form } => {
                let encoded = version.encode(partition, records, *form, published);
                let mut read = Records::default();
                running.reader.message(&encoded, &mut read)?;
                running.stages.records(&read, now);
                let is_older = self.kafka.dead.iter().any(|log| log.partition == *partition);
                let watermark = running.watermarks.last().map_or(i64::MIN, |watermark| watermark.0);
                for Sent { offset, timestamp, event } in records {
                    if is_older && event.time < running.watermarks[0].0 {
                        running.outcomes.unheard(partition, *offset);
                    }
                    let (place, event) = ((&**partition, *offset), (event.number, *timestamp));
                    match form {
                        Form::Redrive(_) => running.outcomes.redriven(place, event, watermark),
                        Form::Single | Form::Pack | Form::Next => {
                            running.outcomes.data(place, event, watermark);
                        }
                    }
                }
            }
            Body::Mark(written) => {
                running.stages.mark(version.read(&written.bytes), published, now)?;
                running.outcomes.mark(&written.mark);
            }
        }
        running.stages.applied(index, Size { messages: 1, bytes: 0 });
        self.at(LEASE, Event::Lease(index, number, starts));
        let salt = [index as u64, deliveries];
        if !self.is_calm && self.dice.chance(self.plan.config.redelivered, "redelivered", &salt) {
            self.at(self.dice.millis(20, 3_000, "redelivery", &salt), Event::Ready(index));
        }
        Ok(())
    }

    /// A lease expires, unless its holder is alive and extends it.
    pub(crate) fn lease(&mut self, message: usize, number: usize, starts: u32) {
        let holder = &self.workers[number];
        if self.pubsub.messages[message].is_acked
            || self.pubsub.messages[message].lease != Some((number, starts))
        {
            return;
        }
        let is_held = holder.is_up && holder.starts == starts && holder.paused_until <= self.now;
        if is_held {
            self.at(LEASE, Event::Lease(message, number, starts));
        } else {
            self.pubsub.messages[message].lease = None;
            self.pubsub.ready(message);
        }
    }

    fn worker_tick(&mut self, number: usize) {
        let now = EventTime(self.now);
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        if !running.streams_asked {
            running.streams_asked = true;
            let missing = (0..self.sinks.len()).map(|writer| running.stages.missing_streams(writer));
            for (writer, missing) in missing.collect::<Vec<_>>().into_iter().enumerate() {
                if !missing.is_empty() {
                    self.for_worker(number, 200, Happens::Opened(writer, missing));
                }
            }
        }
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let abandoned = running.stages.tick(now);
        running.outcomes.given_up(&abandoned);
        self.check_abandoned(number, &abandoned);
        self.check_tick(number);
        self.send_rows(number);
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let since = self.now - running.last_checkpoint;
        let is_due = since >= PERIOD || (running.stages.core().has_rows() && since >= SOONEST);
        match running.last {
            None if is_due => self.checkpoint(number),
            Some(0) if !running.stages.is_saving() && !running.stages.is_sending() => {
                self.end_worker(number, "clean stop");
            }
            Some(left) if left > 0 && !running.stages.is_saving() && !running.stages.is_sending() => {
                running.last = Some(left - 1);
                if left == 2 {
                    running.stages.progress(now);
                }
                self.checkpoint(number);
            }
            _ => {}
        }
    }
}

/// One operation of the store.
fn poll<T>(work: &mut Work<T>) -> Option<T> {
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
