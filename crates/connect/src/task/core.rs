//! Which offsets of each partition are accounted for. Pure: the same ledger as the connector's, without marks, so that an
//! offset without a message is accounted for when it is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use connector::ledger::Ledger;
use event::Partition;
use kafka::{Commit, Slot, start::Start};

/// The ledgers of the assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Core {
    ledgers: BTreeMap<Slot, Ledger>,
    /// Whether a record has failed: what follows it is read and discarded.
    discards: bool,
}

impl Core {
    pub(super) fn assigned(&mut self, partitions: Vec<(Slot, Start)>) {
        for (slot, start) in partitions {
            let partition = Partition {
                topic: slot.topic.clone(),
                incarnation: start.incarnation.clone(),
                partition: slot.partition,
            };
            let mut ledger = Ledger::open(partition, &start);
            settle(&mut ledger);
            self.ledgers.insert(slot, ledger);
        }
    }

    /// Records were read. Returns whether any of their partitions is still assigned.
    pub(super) fn read(&mut self, runs: &[(Slot, Range<u64>)]) -> bool {
        let mut is_assigned = false;
        for (slot, run) in runs {
            if let Some(ledger) = self.ledgers.get_mut(slot) {
                is_assigned = true;
                ledger.read(run);
                settle(ledger);
            }
        }
        is_assigned || runs.is_empty()
    }

    /// These offsets are in Pub/Sub, or skipped as configured.
    pub(super) fn published(&mut self, runs: &[(Slot, Range<u64>)]) {
        for (slot, run) in runs {
            if let Some(ledger) = self.ledgers.get_mut(slot) {
                ledger.acknowledge(run.clone());
            }
        }
    }

    /// A record failed, and nothing behind it is taken. Positions of the reader are behind discarded records from now on, so
    /// they account for nothing.
    pub(super) fn discard(&mut self) {
        self.discards = true;
    }

    pub(super) fn passed(&mut self, slot: &Slot, position: u64) {
        if self.discards {
            return;
        }
        if let Some(ledger) = self.ledgers.get_mut(slot) {
            ledger.pass(position);
            settle(ledger);
        }
    }

    /// Retention took these records before they were read. Returns how many.
    pub(super) fn overtaken(&mut self, slot: &Slot, position: u64) -> u64 {
        if self.discards {
            return 0;
        }
        let Some(ledger) = self.ledgers.get_mut(slot) else { return 0 };
        let lost = ledger.lose(position);
        settle(ledger);
        lost
    }

    pub(super) fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(ledger) = self.ledgers.get_mut(&commit.slot) {
                ledger.confirm(commit.offset);
            }
        }
    }

    pub(super) fn gone(&mut self, slots: &BTreeSet<Slot>) {
        self.ledgers.retain(|slot, _| !slots.contains(slot));
    }

    /// Whether everything that was read of these partitions is accounted for.
    pub(super) fn is_settled(&self, slots: &BTreeSet<Slot>) -> bool {
        slots.iter().all(|slot| self.ledgers.get(slot).is_none_or(Ledger::is_settled))
    }

    /// The offsets that the coordinator does not have yet, of the partitions that `wanted` takes.
    pub(super) fn commits(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<(Commit, Partition)> {
        let commit = |(slot, ledger): (&Slot, &Ledger)| {
            let offset = ledger.uncommitted()?;
            Some((Commit { slot: slot.clone(), offset }, ledger.partition().clone()))
        };
        self.ledgers.iter().filter(|(slot, _)| wanted(slot)).filter_map(commit).collect()
    }
}

/// No mark follows for offsets without an event.
fn settle(ledger: &mut Ledger) {
    for range in ledger.take_unmarked() {
        ledger.acknowledge(range.offsets());
    }
}

#[cfg(test)]
mod tests {
    use event::Incarnation;

    use super::*;

    fn slot(partition: i32) -> Slot {
        Slot { topic: "t".into(), partition, generation: 1 }
    }

    fn core() -> Core {
        let start = Start {
            incarnation: Incarnation::from("i"),
            committed: Some(5),
            offset: 5,
            skipped: None,
            commit_first: false,
            notice: None,
        };
        let mut core = Core::default();
        core.assigned(vec![(slot(0), start.clone()), (slot(1), start)]);
        core
    }

    fn offsets(core: &Core) -> Vec<(i32, u64)> {
        core.commits(|_| true).into_iter().map(|(commit, _)| (commit.slot.partition, commit.offset)).collect()
    }

    #[test]
    fn an_offset_is_committed_after_everything_below_it() {
        let mut core = core();
        let (first, second) = (vec![(slot(0), 5..8)], vec![(slot(0), 10..12), (slot(1), 5..6)]);
        assert!(core.read(&first) && core.read(&second));
        assert_eq!(offsets(&core), []);
        core.published(&second);
        assert_eq!(offsets(&core), [(1, 6)], "partition 0 waits for the first batch");
        core.published(&first);
        assert_eq!(offsets(&core), [(0, 12), (1, 6)], "offsets without a record are accounted for");
        core.committed(&[Commit { slot: slot(0), offset: 12 }]);
        assert_eq!(offsets(&core), [(1, 6)]);
        core.gone(&BTreeSet::from([slot(1)]));
        assert_eq!(offsets(&core), []);
        assert!(!core.read(&[(slot(1), 6..7)]), "the partition was given up");
    }

    /// Between the failure and the end of the task, the reader passes records that were discarded.
    #[test]
    fn nothing_is_committed_past_a_record_that_failed() {
        let mut core = core();
        let read = vec![(slot(0), 5..8)];
        core.read(&read);
        core.discard();
        core.passed(&slot(0), 12);
        core.passed(&slot(1), 9);
        assert_eq!(core.overtaken(&slot(1), 9), 0);
        core.published(&read);
        assert_eq!(offsets(&core), [(0, 8)]);
    }

    #[test]
    fn a_partition_settles_with_its_last_batch() {
        let mut core = core();
        let slots = BTreeSet::from([slot(0)]);
        assert!(core.is_settled(&slots));
        core.read(&[(slot(0), 5..6)]);
        assert!(!core.is_settled(&slots));
        core.published(&[(slot(0), 5..6)]);
        core.passed(&slot(0), 9);
        assert!(core.is_settled(&slots));
        assert_eq!(core.overtaken(&slot(0), 20), 11);
        assert_eq!(offsets(&core), [(0, 20)]);
    }
}
