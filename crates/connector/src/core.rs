//! The state machine of the connector. Inputs are what was read, acknowledged and reported; effects are what to
//! publish, mark and commit.
//!
//! Pure: no clock, no Kafka, no Pub/Sub, so that the simulation runs the same code as production. Time enters only as
//! [`Input::Mark`] and [`Input::Tick`] and with the reported facts. Payloads stay outside: a batch is represented by its
//! number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use event::{
    EventTime, Mark, Partition,
    mark::{LogEnd, TopicMark},
};
use kafka::{Commit, Slot, start::Start};

use crate::{
    ledger::Ledger,
    marks::{MarkId, Marks},
    rejects::RejectWindow,
    view::PartitionView,
};

/// The number of a batch of data messages in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// Partitions were assigned.
    Assigned(Vec<(Slot, Start)>),
    /// Records were read; their data messages form one batch.
    Read(Read),
    /// The reader of a partition is at this position; there is no record between the last one read and it.
    Passed(Slot, u64),
    /// Retention deleted everything below this offset before it was read.
    Overtaken(Slot, u64),
    /// The leaders reported the ends of these logs.
    Ends {
        /// The clock, read before the request.
        asked_at: EventTime,
        /// The high watermarks.
        ends: Vec<(Slot, u64)>,
    },
    /// The configured topics as the brokers describe them.
    Topics(Vec<TopicMark>),
    /// Pub/Sub has the batch, except for the records that it refuses.
    Published {
        /// The batch.
        batch: BatchId,
        /// The refused records, with the code of the reject.
        refused: Vec<(Slot, u64, &'static str)>,
    },
    /// Pub/Sub has the mark.
    MarkPublished(MarkId),
    /// The coordinator has the offsets.
    Committed(Vec<Commit>),
    /// A quarter of a second has passed: marks are due.
    Mark,
    /// A second has passed: marks and commits are due.
    Tick,
    /// These partitions are about to be given up: drain what was read of them.
    Drain(BTreeSet<Slot>),
    /// These partitions are gone, drained or not.
    Gone(BTreeSet<Slot>),
}

/// Records that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The batch of their data messages; `None` if every record was rejected or filtered.
    pub batch: Option<BatchId>,
    /// Number of records.
    pub records: u64,
    /// For each partition, the results of its offsets, ascending.
    pub parts: Vec<ReadPart>,
}

/// Records of one partition that were read, in the order of their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPart {
    /// The partition.
    pub slot: Slot,
    /// The results, ascending.
    pub entries: Vec<Entry>,
}

impl ReadPart {
    /// A part without entries.
    pub fn place(&self) -> Self {
        Self { slot: self.slot.clone(), entries: Vec::new() }
    }
}

/// The result of one record, or of a run of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Consecutive offsets with a data message each.
    Data(Range<u64>),
    /// Consecutive offsets whose records the filter excludes.
    Filtered(Range<u64>),
    /// A rejected record.
    Reject(Reject),
}

/// A rejected record: its position and the reason, never its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its offset.
    pub offset: u64,
    /// Number of records of the same [`Read`] that were read before it.
    pub index: u64,
    /// The code of the reason.
    pub code: &'static str,
    /// The declared pointer that the reject is about.
    pub pointer: Option<Arc<str>>,
}

/// An instruction to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish a batch, and retry until Pub/Sub has it.
    Publish(BatchId),
    /// Publish a mark, and retry until Pub/Sub has it.
    PublishMark(MarkId, Mark),
    /// Commit these offsets, with their incarnations.
    Commit(Vec<(Commit, Partition)>),
    /// The drained partitions are accounted for: commit these offsets, and give the partitions up.
    Drained(Vec<(Commit, Partition)>),
    /// Stop reading, and report the reason.
    Stop(StopReason),
}

/// Why the connector stops itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// More rejects than `max_rejects` allows.
    TooManyRejects {
        /// Among the last 10,000 records.
        rejects: u64,
    },
}

/// If this many marks are in flight, the next one waits, so that marks do not accumulate during an outage of Pub/Sub.
const MARKS_IN_FLIGHT: usize = 2;
/// If this many ranges wait for a mark, reading pauses.
const UNMARKED_LIMIT: usize = 100_000;

/// The state of the connector.
#[derive(Clone, Debug)]
pub struct Core {
    ledgers: BTreeMap<Slot, Ledger>,
    batches: HashMap<BatchId, Vec<(Slot, Range<u64>)>>,
    marks: Marks,
    ends: HashMap<Slot, LogEnd>,
    topics: Vec<TopicMark>,
    rejects: RejectWindow,
    draining: Option<BTreeSet<Slot>>,
    stopped: bool,
}

impl Core {
    /// `replica` names this process in its marks; `max_rejects` is the number of rejects that are allowed among 10,000
    /// records.
    pub fn new(replica: String, max_rejects: u32) -> Self {
        Self {
            ledgers: BTreeMap::new(),
            batches: HashMap::new(),
            marks: Marks::new(replica),
            ends: HashMap::new(),
            topics: Vec::new(),
            rejects: RejectWindow::new(max_rejects),
            draining: None,
            stopped: false,
        }
    }

    /// With the Pub/Sub topics among which a field of the event selects one, for the marks.
    #[must_use]
    pub fn with_outputs(self, outputs: Vec<Arc<str>>) -> Self {
        Self { marks: self.marks.with_outputs(outputs), ..self }
    }

    /// Applies one input and returns its effects.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Assigned(partitions) => self.assigned(partitions),
            Input::Read(read) => self.read(read, &mut effects),
            Input::Passed(slot, position) => self.with(&slot, |ledger| ledger.pass(position)),
            Input::Overtaken(slot, position) => self.with(&slot, |ledger| {
                ledger.lose(position);
            }),
            Input::Ends { asked_at, ends } => self.ends(asked_at, ends),
            Input::Topics(topics) => self.topics = topics,
            Input::Published { batch, refused } => self.published(batch, &refused, &mut effects),
            Input::MarkPublished(id) => self.mark_published(id),
            Input::Committed(commits) => self.committed(&commits),
            Input::Mark => self.marks_due(&mut effects),
            Input::Tick => self.tick(&mut effects),
            Input::Drain(slots) => self.drain(slots, &mut effects),
            Input::Gone(slots) => self.gone(&slots),
        }
        self.check_drained(&mut effects);
        effects
    }

    /// Whether the number of ranges that wait for a mark is so high that reading has to pause.
    pub fn is_full(&self) -> bool {
        self.ledgers.values().map(Ledger::unmarked).sum::<usize>() > UNMARKED_LIMIT
    }

    /// The offsets of these partitions that can be committed now, regardless of what is in flight.
    pub fn commits(&self, slots: &BTreeSet<Slot>) -> Vec<(Commit, Partition)> {
        self.uncommitted(|slot| slots.contains(slot))
    }

    /// The partitions of this replica, each with the next offset to be read.
    pub fn positions(&self) -> impl Iterator<Item = (&Slot, u64)> {
        self.ledgers.iter().map(|(slot, ledger)| (slot, ledger.next()))
    }

    /// The lag of each partition behind the end of its log, if the end is known.
    pub fn lag(&self) -> impl Iterator<Item = (&Slot, u64)> {
        let lag = |(slot, ledger): (_, &Ledger)| {
            self.ends.get(slot).map(|end| (slot, end.offset.saturating_sub(ledger.commit_point())))
        };
        self.ledgers.iter().filter_map(lag)
    }

    /// A snapshot of the partitions of this replica.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionView> {
        self.ledgers.iter().map(|(slot, ledger)| PartitionView {
            topic: slot.topic.clone(),
            partition: slot.partition,
            position: ledger.next(),
            accounted: ledger.commit_point(),
            end: self.ends.get(slot).copied(),
        })
    }

    fn assigned(&mut self, partitions: Vec<(Slot, Start)>) {
        for (slot, start) in partitions {
            let partition = Partition {
                topic: slot.topic.clone(),
                incarnation: start.incarnation.clone(),
                partition: slot.partition,
            };
            self.ledgers.insert(slot, Ledger::open(partition, &start));
        }
    }

    fn read(&mut self, read: Read, effects: &mut Vec<Effect>) {
        if self.stopped {
            return;
        }
        let mut data = Vec::new();
        let mut rejected = Vec::new();
        for part in read.parts {
            let Some(ledger) = self.ledgers.get_mut(&part.slot) else { continue };
            for entry in part.entries {
                match entry {
                    Entry::Data(run) => {
                        ledger.read(&run);
                        data.push((part.slot.clone(), run));
                    }
                    Entry::Filtered(run) => ledger.filter(&run),
                    Entry::Reject(reject) => {
                        ledger.reject(reject.offset, reject.code, reject.pointer.as_ref());
                        rejected.push(reject.index);
                    }
                }
            }
        }
        if let Some(batch) = read.batch {
            self.batches.insert(batch, data);
            effects.push(Effect::Publish(batch));
        }
        rejected.sort_unstable();
        self.count_rejects(read.records, rejected, effects);
    }

    fn count_rejects(&mut self, records: u64, rejected: Vec<u64>, effects: &mut Vec<Effect>) {
        if let Some(rejects) = self.rejects.count(records, rejected) {
            // There is no mark after this one. What was rejected last is read again after the restart.
            self.stopped = true;
            effects.push(Effect::Stop(StopReason::TooManyRejects { rejects }));
        }
    }

    fn ends(&mut self, asked_at: EventTime, ends: Vec<(Slot, u64)>) {
        for (slot, offset) in ends {
            if self.ledgers.contains_key(&slot) {
                self.ends.insert(slot, LogEnd { offset, asked_at });
            }
        }
    }

    fn published(
        &mut self,
        batch: BatchId,
        refused: &[(Slot, u64, &'static str)],
        effects: &mut Vec<Effect>,
    ) {
        let Some(data) = self.batches.remove(&batch) else { return };
        for (slot, run) in data {
            let Some(ledger) = self.ledgers.get_mut(&slot) else { continue };
            let mut from = run.start;
            for &(_, offset, code) in
                refused.iter().filter(|(s, offset, _)| *s == slot && run.contains(offset))
            {
                ledger.acknowledge(from..offset);
                ledger.refuse(offset, code, None);
                from = offset + 1;
            }
            ledger.acknowledge(from..run.end);
        }
        if !refused.is_empty() && !self.stopped {
            self.count_rejects(0, vec![0; refused.len()], effects);
            if self.draining.is_some() {
                self.write_marks(effects);
            }
        }
    }

    fn mark_published(&mut self, id: MarkId) {
        for (slot, range) in self.marks.acknowledged(id) {
            self.with(&slot, |ledger| ledger.acknowledge(range));
        }
    }

    fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            self.with(&commit.slot, |ledger| ledger.confirm(commit.offset));
        }
    }

    fn marks_due(&mut self, effects: &mut Vec<Effect>) {
        if !self.stopped && self.marks.in_flight() < MARKS_IN_FLIGHT {
            self.write_marks(effects);
        }
    }

    fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.marks_due(effects);
        let commits = self.uncommitted(|_| true);
        if !commits.is_empty() {
            effects.push(Effect::Commit(commits));
        }
    }

    fn write_marks(&mut self, effects: &mut Vec<Effect>) {
        let marks = self.marks.write(&mut self.ledgers, &self.ends, &self.topics);
        effects.extend(marks.into_iter().map(|(id, mark)| Effect::PublishMark(id, mark)));
    }

    fn drain(&mut self, slots: BTreeSet<Slot>, effects: &mut Vec<Effect>) {
        if !self.stopped {
            self.write_marks(effects);
        }
        self.draining = Some(slots);
    }

    fn gone(&mut self, slots: &BTreeSet<Slot>) {
        self.ledgers.retain(|slot, _| !slots.contains(slot));
        self.ends.retain(|slot, _| !slots.contains(slot));
        self.draining = None;
    }

    fn check_drained(&mut self, effects: &mut Vec<Effect>) {
        if self.draining.as_ref().is_some_and(|slots| self.is_drained(slots))
            && let Some(slots) = self.draining.take()
        {
            effects.push(Effect::Drained(self.commits(&slots)));
        }
    }

    fn is_drained(&self, slots: &BTreeSet<Slot>) -> bool {
        if self.stopped {
            return !self.batches.values().flatten().any(|(slot, _)| slots.contains(slot));
        }
        slots.iter().filter_map(|slot| self.ledgers.get(slot)).all(Ledger::is_settled)
    }

    fn uncommitted(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<(Commit, Partition)> {
        let commit = |(slot, ledger): (&Slot, &Ledger)| {
            let offset = ledger.uncommitted()?;
            Some((Commit { slot: slot.clone(), offset }, ledger.partition().clone()))
        };
        self.ledgers.iter().filter(|(slot, _)| wanted(slot)).filter_map(commit).collect()
    }

    /// Acknowledgements of an older assignment find no ledger, and change nothing.
    fn with(&mut self, slot: &Slot, change: impl FnOnce(&mut Ledger)) {
        if let Some(ledger) = self.ledgers.get_mut(slot) {
            change(ledger);
        }
    }
}

#[cfg(test)]
mod tests;
