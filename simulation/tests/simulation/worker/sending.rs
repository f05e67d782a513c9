//! Sends the rows of a processor to their tables.

use event::EventTime;
use flow::append::{Appended, Table};
use futures::FutureExt;
use processor::{
    sink::Sink,
    stages::{Reopen, Sent, Stopped},
};

use super::{Happens, Phase, Sending};
use crate::world::World;

/// How long a writer that is down is waited for between two attempts, milliseconds.
const AGAIN: i64 = 300;

impl World {
    /// Whether a writer does not answer at present.
    fn is_down(&self, writer: usize) -> bool {
        !self.is_calm && self.now < self.down_until[writer]
    }

    pub(super) fn opened(&mut self, number: usize, writer: usize, tables: &[Table]) {
        if self.is_down(writer) {
            return self.for_worker(number, AGAIN, Happens::Opened(writer, tables.to_vec()));
        }
        for table in tables {
            let name =
                self.sinks[writer].open(table).now_or_never().expect("nothing waits").expect("it opens");
            let Phase::Running(running) = &mut self.workers[number].phase else { return };
            running.stages.opened(writer, table, name);
        }
    }

    /// One step of opening another stream.
    pub(super) fn reopen(&mut self, number: usize, writer: usize) {
        if self.is_down(writer) {
            return self.for_worker(number, AGAIN, Happens::Reopen(writer));
        }
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        match running.stages.reopening(writer) {
            Some(Reopen::Ask(append)) => {
                let contains = self.sinks[writer].contains(&append).now_or_never().expect("nothing waits");
                let contains = contains.expect("it is answered");
                running.stages.answered(writer, contains);
                self.log(|| format!("processor {number} queried for its rows: {contains}"));
                self.for_worker(number, self.store_delay(number), Happens::Reopen(writer));
            }
            Some(Reopen::Open(table)) => self.opened(number, writer, &[table]),
            None => {}
        }
    }

    pub(super) fn send_rows(&mut self, number: usize) {
        for writer in 0..self.sinks.len() {
            let Phase::Running(running) = &mut self.workers[number].phase else { return };
            let requests = running.stages.requests(writer);
            if !requests.is_empty() {
                running.sending[writer] = Sending { requests: requests.into(), done: None };
                self.for_worker(number, self.store_delay(number), Happens::Send(writer));
            }
        }
    }

    /// A request reaches its table.
    pub(super) fn send(&mut self, number: usize, writer: usize) {
        let salt = [number as u64, self.now.unsigned_abs(), writer as u64];
        let faults = if self.is_calm { 0 } else { self.plan.config.appends_lost };
        let is_down = self.is_down(writer);
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let Some((_, append)) = running.sending[writer].requests.front().cloned() else { return };
        let arrives = !is_down && !self.dice.chance(faults / 2, "append arrives", &salt);
        let mut answer = None;
        if arrives {
            self.check_append(number, &append);
            if self.dice.chance(300, "append again", &salt) {
                self.sinks[writer].tables().repeat(self.dice.roll("again", &salt));
            }
            let appended = self.sinks[writer].append(&append).now_or_never().expect("nothing waits");
            let is_lost = self.dice.chance(faults, "append answer", &salt);
            answer = appended.ok().filter(|_| !is_lost);
        }
        self.for_worker(number, self.store_delay(number), Happens::Answer(writer, answer));
    }

    pub(super) fn answer(&mut self, number: usize, writer: usize, answer: Option<Appended>) {
        let now = EventTime(self.now);
        let sink = self.sinks[writer].clone();
        let Phase::Running(running) = &mut self.workers[number].phase else { return };
        let sending = &mut running.sending[writer];
        let Some((request, append)) = sending.requests.front().cloned() else { return };
        let stopped = match answer {
            None => return self.for_worker(number, 150, Happens::Send(writer)),
            Some(Appended::Done) => {
                sending.requests.pop_front();
                sending.done = Some(request);
                if !sending.requests.is_empty() {
                    return self.for_worker(number, self.store_delay(number), Happens::Send(writer));
                }
                None
            }
            Some(Appended::StreamGone) => Some(Stopped::StreamGone(append.table)),
            Some(Appended::Refused(rows)) => Some(Stopped::Refused(request, rows)),
            Some(Appended::Gap) => Some(Stopped::Gap(append.table.name())),
        };
        sending.requests.clear();
        let sent = Sent { done: sending.done.take(), stopped };
        match running.stages.sent(writer, sent, now, &*sink) {
            Ok(delivered) => {
                if let Some(table) = delivered.gone {
                    self.log(|| format!("processor {number} needs another stream for {}", table.name()));
                    self.for_worker(number, 300, Happens::Reopen(writer));
                } else if delivered.refused.is_some() {
                    self.for_worker(number, 300, Happens::Reopen(writer));
                }
            }
            Err(error) => return self.fail(format!("rows cannot be sent: {error}")),
        }
        self.send_rows(number);
    }
}
