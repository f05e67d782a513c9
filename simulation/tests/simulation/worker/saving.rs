//! Checkpoints of a processor, and the acknowledgements that follow them.

use std::rc::Rc;

use bytes::Bytes;
use event::EventTime;
use futures::FutureExt;
use processor::{
    saved::Budget,
    store::{Appender, Part},
};

use super::{Happens, LEASE, Phase, Saving, poll};
use crate::{
    store::Fault,
    world::{Event, World},
};

impl World {
    pub(super) fn checkpoint(&mut self, number: usize) {
        let now = EventTime(self.now);
        let sinks = self.sinks.clone();
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        if running.appender.is_none() {
            return;
        }
        let budget = Budget { least: self.plan.config.part, most: self.plan.config.part };
        let saved = match running.stages.checkpoint(budget, now, &sinks) {
            Ok(Some(saved)) => saved,
            Ok(None) => return,
            Err(error) => return self.fail(format!("a checkpoint cannot be taken: {error}")),
        };
        let payload = Bytes::from(saved.encode().expect("a checkpoint can be written"));
        let part = saved.part;
        running.last_checkpoint = self.now;
        running.saving_outcomes = Rc::new(running.outcomes.clone());
        let appender = running.appender.take().expect("it was there");
        running.saving = Some((write(appender, part, payload.clone()), part, payload));
        self.for_worker(number, self.store_delay(number), Happens::Store);
    }

    pub(super) fn store_delay(&self, number: usize) -> i64 {
        self.dice.travel(self.plan.config.slowest, "store", &[number as u64, self.now.unsigned_abs()])
    }

    pub(super) fn saving(&mut self, number: usize) {
        let salt = [number as u64, self.now.unsigned_abs()];
        let faults = if self.is_calm { 0 } else { self.plan.config.store_faults };
        let fault = match self.dice.below(1_000, "store fault", &salt) {
            draw if draw < faults / 2 => Fault::Before,
            draw if draw < faults => Fault::After,
            _ => Fault::None,
        };
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let Some((work, _, payload)) = &mut running.saving else { return };
        {
            let mut dial = self.store.dial();
            dial.fault = fault;
            dial.payload = Some(payload.clone());
        }
        let ended = poll(work);
        self.store.dial().fault = Fault::None;
        let outcomes = running.saving_outcomes.clone();
        let (created, checkpoint) = {
            let mut dial = self.store.dial();
            (dial.created.take(), dial.newest)
        };
        if let Some(created) = created {
            self.check_head(checkpoint, &created, outcomes);
        }
        let Some((appender, result)) = ended else {
            return self.for_worker(number, self.store_delay(number), Happens::Store);
        };
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        running.appender = Some(appender);
        match result {
            Ok(()) => {
                running.saving = None;
                let acks = running.stages.durable();
                self.acknowledge(number, acks);
                self.send_rows(number);
            }
            Err(error) if error.is_transient() => self.for_worker(number, 100, Happens::SaveAgain),
            Err(error) if error.is_fenced() => self.end_worker(number, "another one took over"),
            Err(error) => self.fail(format!("a checkpoint cannot be written: {error}")),
        }
    }

    pub(super) fn save_again(&mut self, number: usize) {
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let (Some((_, part, payload)), Some(appender)) = (running.saving.take(), running.appender.take())
        else {
            return;
        };
        running.saving = Some((write(appender, part, payload.clone()), part, payload));
        self.for_worker(number, self.store_delay(number), Happens::Store);
    }

    pub(super) fn acknowledge(&mut self, number: usize, messages: Vec<usize>) {
        for &message in &messages {
            self.check_ack(number, message);
        }
        let salt = [number as u64, self.now.unsigned_abs()];
        if self.is_calm || !self.dice.chance(self.plan.config.acks_lost, "ack lost", &salt) {
            let delay = self.dice.travel(self.plan.config.slowest, "ack", &salt);
            self.at(delay, Event::Ack(messages));
        } else {
            for message in messages {
                self.pubsub.messages[message].lease = None;
                self.at(LEASE, Event::Ready(message));
            }
        }
    }
}

/// What the task of the driver does with one checkpoint.
fn write(mut appender: Box<Appender>, part: Part, payload: Bytes) -> Saving {
    async move {
        let result = appender.append(part, payload).await.map(drop);
        if result.is_ok() && part.last {
            appender.prune().await;
        }
        (appender, result)
    }
    .boxed_local()
}
