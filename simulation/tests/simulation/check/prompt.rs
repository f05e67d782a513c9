//! A retired incarnation stays out of the watermark's minimum, across restarts.

use event::EventTime;

use crate::{kafka::Log, world::World};

/// The age of a record that has certainly reached the processor at a check, in milliseconds.
const ARRIVED: i64 = 6_000;
/// The allowed delay of the watermark by then: a partition becomes idle, and a mark reports it.
const BEHIND: i64 = 20_000;

impl World {
    /// A watermark beyond the end of an older incarnation shows that it was retired. From then on nothing but events that
    /// have not arrived may hold the watermark.
    pub(super) fn check_prompt(&mut self, number: usize) {
        let Some(running) = self.workers[number].running().filter(|_| self.plan.config.is_prompt) else {
            return;
        };
        let (recovered, recovered_at) = running.recovered;
        let has_left = |log: &Log| log.died_at < recovered.0;
        let arrived = self.now - ARRIVED;
        let has_arrived = |log: &Log| {
            let offsets = (log.low..).zip(&log.records[log.low as usize..]);
            let mut old = offsets.filter(|(_, record)| record.timestamp < arrived);
            old.all(|(offset, _)| running.outcomes.get(&log.partition, offset).is_some())
        };
        let is_settled = recovered > EventTime::MIN
            && recovered_at < arrived
            && self.kafka.dead.iter().all(has_left)
            && self.kafka.logs().all(|(_, log)| has_arrived(log));
        let behind = self.now.saturating_sub(running.watermarks[0].0);
        if is_settled && behind > BEHIND {
            let core = running.stages.core();
            let holder = core.frontier().holder(core.limits());
            self.fail(format!("nothing is missing, and the watermark is {behind} ms behind: {holder:?}"));
        }
    }
}
