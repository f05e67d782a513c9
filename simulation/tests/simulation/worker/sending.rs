//! Sends the rows of a processor to their tables.

use event::EventTime;
use flow::append::{Appended, Table};
use futures::FutureExt;
use processor::{
    sink::Sink,
    stages::{Reopen, Sent, Stopped},
};

use super::{Happens, Phase};
use crate::world::World;

impl World {
    pub(super) fn opened(&mut self, number: usize, tables: &[Table]) {
        for table in tables {
            let name = self.sink.open(table).now_or_never().expect("nothing waits").expect("it opens");
            let Phase::Running(running) = &mut self.workers[number].phase else { return };
            running.stages.opened(table, name);
        }
    }

    /// One step of opening another stream.
    pub(super) fn reopen(&mut self, number: usize) {
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        match running.stages.reopening() {
            Some(Reopen::Ask(append)) => {
                let contains = self.sink.contains(&append).now_or_never().expect("nothing waits");
                let contains = contains.expect("it is answered");
                running.stages.answered(contains);
                self.log(|| format!("processor {number} queried for its rows: {contains}"));
                self.for_worker(number, self.store_delay(number), Happens::Reopen);
            }
            Some(Reopen::Open(table)) => self.opened(number, &[table]),
            None => {}
        }
    }

    pub(super) fn send_rows(&mut self, number: usize) {
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let requests = running.stages.requests();
        if !requests.is_empty() {
            running.sending = requests.into();
            running.done = None;
            self.for_worker(number, self.store_delay(number), Happens::Send);
        }
    }

    /// A request reaches its table.
    pub(super) fn send(&mut self, number: usize) {
        let salt = [number as u64, self.now.unsigned_abs()];
        let faults = if self.is_calm { 0 } else { self.plan.config.appends_lost };
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let Some((_, append)) = running.sending.front().cloned() else { return };
        let arrives = !self.dice.chance(faults / 2, "append arrives", &salt);
        let mut answer = None;
        if arrives {
            self.check_append(number, &append);
            let appended = self.sink.append(&append).now_or_never().expect("nothing waits");
            let is_lost = self.dice.chance(faults, "append answer", &salt);
            answer = appended.ok().filter(|_| !is_lost);
        }
        self.for_worker(number, self.store_delay(number), Happens::Answer(answer));
    }

    pub(super) fn answer(&mut self, number: usize, answer: Option<Appended>) {
        let now = EventTime(self.now);
        let sink = self.sink.clone();
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let Some((request, append)) = running.sending.front().cloned() else { return };
        let stopped = match answer {
            None => return self.for_worker(number, 150, Happens::Send),
            Some(Appended::Done) => {
                running.sending.pop_front();
                running.done = Some(request);
                if !running.sending.is_empty() {
                    return self.for_worker(number, self.store_delay(number), Happens::Send);
                }
                None
            }
            Some(Appended::StreamGone) => Some(Stopped::StreamGone(append.table)),
            Some(Appended::Refused(rows)) => Some(Stopped::Refused(request, rows)),
            Some(Appended::Gap) => Some(Stopped::Gap(append.table.name())),
        };
        running.sending.clear();
        let sent = Sent { done: running.done.take(), stopped };
        match running.stages.sent(sent, now, &sink) {
            Ok(delivered) => {
                if let Some(table) = delivered.gone {
                    self.log(|| format!("processor {number} needs another stream for {}", table.name()));
                    self.for_worker(number, 300, Happens::Reopen);
                } else if delivered.refused.is_some() {
                    self.for_worker(number, 300, Happens::Reopen);
                }
            }
            Err(error) => return self.fail(format!("rows cannot be sent: {error}")),
        }
        self.send_rows(number);
    }
}
