//! Every flow's ledger follows from the messages, each offset with its first outcome.

use std::collections::BTreeSet;

use event::{Ledger, ledger::Outcome as Ended};

use super::{Outcome, Outcomes};
use crate::{kafka::Class, worker::Running, world::World};

/// The number of offsets by outcome.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    refused: u64,
    filtered: u64,
    absent: u64,
    lost: u64,
    /// Events whose time is rejected.
    future: u64,
    /// Events that share their ID with another one.
    copies: u64,
    /// An event may be late, in which case it is not a duplicate.
    has_loose: bool,
}

impl World {
    /// An error in a ledger since the last message was applied.
    pub(super) fn wrong_ledger(&self, running: &Running) -> Option<String> {
        if running.outcomes.is_checked {
            return None;
        }
        let config = &self.plan.config;
        let tally = self.tally(&running.outcomes);
        let core = running.stages.core();
        let accounted = core.frontier().accounted();
        if accounted != tally.total {
            return Some(format!("{} offsets came, {accounted} are accounted for", tally.total));
        }
        let is_open = tally.has_loose || !running.outcomes.unawaited.is_empty();
        core.engine().flows().iter().enumerate().find_map(|(number, flow)| {
            let by_kafka = number == 1 && !config.has_ids;
            let future = if by_kafka { 0 } else { tally.future };
            let wrong = tally.differs(&flow.ledger, future, is_open)?;
            Some(format!("{wrong} in the ledger of {}: {:?}", flow.name(), flow.ledger))
        })
    }

    fn tally(&self, outcomes: &Outcomes) -> Tally {
        let mut tally = Tally::default();
        let mut ids = BTreeSet::new();
        for (_, _, outcome) in outcomes.iter() {
            tally.total += 1;
            match outcome {
                Outcome::Rejected => tally.refused += 1,
                Outcome::Filtered => tally.filtered += 1,
                Outcome::Empty | Outcome::Before => tally.absent += 1,
                Outcome::Lost => tally.lost += 1,
                Outcome::Data(number, _) => {
                    let event = &self.events[number];
                    tally.has_loose |= matches!(event.class, Class::Loose | Class::Delayed);
                    if event.class == Class::Future {
                        tally.future += 1;
                    } else if self.plan.config.has_ids {
                        tally.copies += u64::from(!ids.insert(event.id));
                    }
                }
            }
        }
        tally
    }
}

impl Tally {
    fn differs(&self, ledger: &Ledger, future: u64, is_open: bool) -> Option<String> {
        let open = |outcome: Ended, count: u64| (outcome, if is_open { ledger.get(outcome) } else { count });
        let expected = [
            (Ended::Lost, self.lost),
            (Ended::Absent, self.absent),
            (Ended::Rejected, self.refused + future),
            (Ended::Filtered, self.filtered),
            (Ended::Ignored, 0),
            open(Ended::Duplicate, self.copies),
            open(Ended::Late, 0),
        ];
        if ledger.total() != self.total {
            return Some(format!("{} offsets are not all", self.total));
        }
        let (outcome, count) =
            expected.into_iter().find(|(outcome, count)| ledger.get(*outcome) != *count)?;
        Some(format!("{count} offsets are not those that ended {outcome:?}"))
    }
}
