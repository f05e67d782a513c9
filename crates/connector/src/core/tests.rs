//! The core against a simulated log: any interleaving of reading, acknowledging, rebalancing and crashing.

use event::{Ranges, mark::Reason};
use kafka::start::{Committed, Facts, StartRule, decide};
use proptest::prelude::*;

use super::*;

const ID: &str = "abcdefghijklmnopqrstuv";

fn slot(partition: i32, generation: u64) -> Slot {
    Slot { topic: "events".into(), partition, generation }
}

fn start(committed: Option<u64>, low: u64, high: u64) -> Start {
    let committed = committed.map(|offset| Committed::parse(offset, ID.as_bytes()));
    let group_is_new = committed.is_none();
    let facts = Facts { topic_id: ID.to_owned(), committed, group_is_new, low, stable: high, high };
    decide(&facts, StartRule::Earliest)
}

fn data(batch: u64, slot: &Slot, run: Range<u64>) -> Input {
    let parts = vec![ReadPart { slot: slot.clone(), entries: vec![Entry::Data(run.clone())] }];
    Input::Read(Read { batch: Some(BatchId(batch)), records: run.end - run.start, parts })
}

fn rejects(slot: &Slot, offsets: Range<u64>) -> Input {
    let reject = |(index, offset)| {
        Entry::Reject(Reject { offset, index: index as u64, code: "not-json", pointer: None })
    };
    let records = offsets.end - offsets.start;
    let entries = offsets.enumerate().map(reject).collect();
    Input::Read(Read { batch: None, records, parts: vec![ReadPart { slot: slot.clone(), entries }] })
}

fn published(batch: u64) -> Input {
    Input::Published { batch: BatchId(batch), refused: Vec::new() }
}

fn marks(effects: &[Effect]) -> Vec<(MarkId, Mark)> {
    let mark = |effect: &Effect| match effect {
        Effect::PublishMark(id, mark) => Some((*id, mark.clone())),
        _ => None,
    };
    effects.iter().filter_map(mark).collect()
}

fn commits(effects: &[Effect]) -> Vec<u64> {
    let offsets = |effect: &Effect| match effect {
        Effect::Commit(commits) | Effect::Drained(commits) => {
            commits.iter().map(|(commit, _)| commit.offset).collect()
        }
        _ => Vec::new(),
    };
    effects.iter().flat_map(offsets).collect()
}

#[test]
fn commits_wait_for_data_and_marks() {
    let (mut core, at) = (Core::new("a".to_owned(), 100), slot(0, 1));
    core.step(Input::Assigned(vec![(at.clone(), start(None, 3, 9))]));
    core.step(data(1, &at, 3..5));
    core.step(rejects(&at, 5..6));
    let effects = core.step(Input::Tick);
    assert_eq!(commits(&effects), Vec::<u64>::new());
    let (id, mark) = marks(&effects).remove(0);
    let reasons: Vec<_> = mark.partitions[0].ranges.iter().map(|r| r.reason.clone()).collect();
    assert_eq!(reasons, [Reason::Before, Reason::Rejected("not-json".into())]);
    core.step(published(1));
    assert_eq!(commits(&core.step(Input::Tick)), Vec::<u64>::new());
    core.step(Input::MarkPublished(id));
    assert_eq!(commits(&core.step(Input::Tick)), [6]);
    assert_eq!(commits(&core.step(Input::Tick)), [6], "until the coordinator confirms it");
    core.step(Input::Committed(vec![Commit { slot: at, offset: 6 }]));
    assert_eq!(commits(&core.step(Input::Tick)), Vec::<u64>::new());
}

#[test]
fn marks_do_not_accumulate_in_an_outage() {
    let (mut core, at) = (Core::new("a".to_owned(), 100), slot(0, 1));
    core.step(Input::Assigned(vec![(at.clone(), start(Some(0), 0, 9))]));
    let sent: usize = (0..10).map(|_| marks(&core.step(Input::Tick)).len()).sum();
    assert_eq!(sent, MARKS_IN_FLIGHT);
    core.step(rejects(&at, 0..1));
    let effects = core.step(Input::Drain(BTreeSet::from([at])));
    assert_eq!(marks(&effects).len(), 1, "but a drain sends what waits");
}

#[test]
fn a_drain_ends_once_all_is_accounted_for() {
    let (mut core, at) = (Core::new("a".to_owned(), 100), slot(0, 1));
    core.step(Input::Assigned(vec![(at.clone(), start(Some(3), 0, 9))]));
    core.step(data(1, &at, 3..5));
    core.step(Input::Passed(at.clone(), 7));
    let effects = core.step(Input::Drain(BTreeSet::from([at.clone()])));
    let (id, _) = marks(&effects).remove(0);
    assert_eq!(core.step(published(1)), []);
    let effects = core.step(Input::MarkPublished(id));
    assert!(matches!(effects.as_slice(), [Effect::Drained(_)]), "{effects:?}");
    assert_eq!(commits(&effects), [7]);
    core.step(Input::Gone(BTreeSet::from([at])));
    assert_eq!(core.step(Input::Drain(BTreeSet::new())).last(), Some(&Effect::Drained(vec![])));
}

#[test]
fn stale_acknowledgements_are_dropped() {
    let (mut core, old, new) = (Core::new("a".to_owned(), 100), slot(0, 1), slot(0, 2));
    core.step(Input::Assigned(vec![(old.clone(), start(Some(0), 0, 9))]));
    core.step(data(1, &old, 0..5));
    core.step(Input::Gone(BTreeSet::from([old])));
    core.step(Input::Assigned(vec![(new, start(Some(0), 0, 9))]));
    core.step(published(1));
    assert_eq!(commits(&core.step(Input::Tick)), Vec::<u64>::new());
}

#[test]
fn too_many_rejects_stop_without_a_commit() {
    let (mut core, at) = (Core::new("a".to_owned(), 100), slot(0, 1));
    core.step(Input::Assigned(vec![(at.clone(), start(Some(0), 0, 900))]));
    core.step(data(1, &at, 0..5));
    let effects = core.step(rejects(&at, 5..200));
    assert_eq!(effects, [Effect::Stop(StopReason::TooManyRejects { rejects: 101 })]);
    assert_eq!(marks(&core.step(Input::Tick)), vec![]);
    assert_eq!(core.step(Input::Drain(BTreeSet::from([at]))), [], "a batch is in flight");
    assert_eq!(commits(&core.step(published(1))), [5]);
}

#[test]
fn refused_messages_become_rejects() {
    let (mut core, at) = (Core::new("a".to_owned(), 100), slot(0, 1));
    core.step(Input::Assigned(vec![(at.clone(), start(Some(0), 0, 9))]));
    core.step(data(1, &at, 0..5));
    core.step(Input::Published { batch: BatchId(1), refused: vec![(at, 2, "refused-by-pubsub")] });
    let effects = core.step(Input::Tick);
    assert_eq!(commits(&effects), [2]);
    let (id, mark) = marks(&effects).remove(0);
    assert_eq!((mark.partitions[0].ranges[0].from, mark.partitions[0].ranges[0].to), (2, 3));
    core.step(Input::MarkPublished(id));
    assert_eq!(commits(&core.step(Input::Tick)), [5]);
}

/// A partition of a simulated log, and what Pub/Sub and the coordinator have of it.
#[derive(Default)]
struct Log {
    committed: Option<u64>,
    low: u64,
    /// What Pub/Sub has, over all runs of the connector.
    stored: Ranges,
}

/// One step of the simulation; numbers select one of the possible choices.
#[derive(Clone, Debug)]
enum Step {
    Read { partition: usize, kinds: Vec<u8> },
    Publish(usize),
    PublishMark(usize),
    Tick,
    Confirm,
    Retention { partition: usize, by: u64 },
    Rebalance { partition: usize, drain: bool },
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize, prop::collection::vec(0u8..5, 1..12)).prop_map(|(partition, kinds)| Step::Read { partition, kinds }),
        6 => any::<usize>().prop_map(Step::Publish),
        3 => any::<usize>().prop_map(Step::PublishMark),
        3 => Just(Step::Tick),
        2 => Just(Step::Confirm),
        1 => (0..2usize, 1u64..20).prop_map(|(partition, by)| Step::Retention { partition, by }),
        1 => (0..2usize, any::<bool>()).prop_map(|(partition, drain)| Step::Rebalance { partition, drain }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

/// Drives the core, and compares it with the state of the simulated services.
struct World {
    core: Core,
    logs: [Log; 2],
    slots: [Slot; 2],
    next: [u64; 2],
    /// Every offset of this assignment that a data message or a mark accounts for.
    handed: [Ranges; 2],
    generation: u64,
    batches: Vec<(BatchId, usize, Vec<Range<u64>>)>,
    marks: Vec<(MarkId, Mark)>,
    unconfirmed: Vec<Commit>,
    next_batch: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            core: Core::new("a".to_owned(), u32::MAX),
            logs: [Log::default(), Log { low: 7, ..Log::default() }],
            slots: [slot(0, 0), slot(1, 0)],
            next: [0, 0],
            handed: Default::default(),
            generation: 0,
            batches: Vec::new(),
            marks: Vec::new(),
            unconfirmed: Vec::new(),
            next_batch: 0,
        };
        world.assign(0);
        world.assign(1);
        world
    }

    fn assign(&mut self, p: usize) {
        self.generation += 1;
        self.slots[p] = slot(p as i32, self.generation);
        let begin = start(self.logs[p].committed, self.logs[p].low, 1 << 40);
        self.next[p] = begin.offset;
        self.handed[p] = Ranges::default();
        self.apply(Input::Assigned(vec![(self.slots[p].clone(), begin)]));
    }

    fn apply(&mut self, input: Input) -> bool {
        let mut drained = false;
        for effect in self.core.step(input) {
            match effect {
                Effect::Publish(_) => {}
                Effect::PublishMark(id, mark) => {
                    for entry in &mark.partitions {
                        let p = entry.partition.partition as usize;
                        for range in &entry.ranges {
                            let new = self.handed[p].insert(range.offsets());
                            assert_eq!(new, range.to - range.from, "an offset was handed out twice");
                        }
                    }
                    self.marks.push((id, mark));
                }
                Effect::Commit(commits) | Effect::Drained(commits) => {
                    drained = true;
                    for (commit, _) in commits {
                        let log = &self.logs[commit.slot.partition as usize];
                        let missing = log.stored.gaps(0..commit.offset);
                        assert_eq!(missing, vec![], "committed {} with offsets missing", commit.offset);
                        self.unconfirmed.push(commit);
                    }
                }
                Effect::Stop(reason) => panic!("{reason:?}"),
            }
        }
        drained
    }

    fn read(&mut self, p: usize, kinds: &[u8]) {
        let (mut entries, mut runs) = (Vec::new(), Vec::new());
        for (index, kind) in kinds.iter().enumerate() {
            self.next[p] += u64::from(*kind == 4) * 3;
            let offset = self.next[p];
            self.next[p] += 1;
            if *kind == 3 {
                entries.push(Entry::Reject(Reject { offset, index: index as u64, code: "x", pointer: None }));
            } else {
                assert_eq!(self.handed[p].insert(offset..offset + 1), 1);
                entries.push(Entry::Data(offset..offset + 1));
                runs.push(offset..offset + 1);
            }
        }
        self.next_batch += 1;
        let batch = (!runs.is_empty()).then_some(BatchId(self.next_batch));
        if let Some(batch) = batch {
            self.batches.push((batch, p, runs));
        }
        let parts = vec![ReadPart { slot: self.slots[p].clone(), entries }];
        self.apply(Input::Read(Read { batch, records: kinds.len() as u64, parts }));
    }

    fn publish(&mut self, choice: usize) {
        if self.batches.is_empty() {
            return;
        }
        let (batch, p, runs) = self.batches.swap_remove(choice % self.batches.len());
        for run in runs {
            self.logs[p].stored.insert(run);
        }
        self.apply(Input::Published { batch, refused: Vec::new() });
    }

    fn publish_mark(&mut self, choice: usize) {
        if self.marks.is_empty() {
            return;
        }
        let (id, mark) = self.marks.swap_remove(choice % self.marks.len());
        for entry in &mark.partitions {
            for range in &entry.ranges {
                self.logs[entry.partition.partition as usize].stored.insert(range.offsets());
            }
        }
        self.apply(Input::MarkPublished(id));
    }

    fn confirm(&mut self) {
        for commit in std::mem::take(&mut self.unconfirmed) {
            let p = commit.slot.partition as usize;
            if commit.slot == self.slots[p] {
                self.logs[p].committed = self.logs[p].committed.max(Some(commit.offset));
                self.apply(Input::Committed(vec![commit]));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Read { partition, kinds } => self.read(*partition, kinds),
            Step::Publish(choice) => self.publish(*choice),
            Step::PublishMark(choice) => self.publish_mark(*choice),
            Step::Tick => drop(self.apply(Input::Tick)),
            Step::Confirm => self.confirm(),
            Step::Retention { partition: p, by } => self.retention(*p, *by),
            Step::Rebalance { partition: p, drain } => self.rebalance(*p, *drain),
            Step::Crash => self.crash(),
        }
    }

    fn retention(&mut self, p: usize, by: u64) {
        self.logs[p].low = self.next[p] + by;
        self.next[p] = self.logs[p].low;
        self.apply(Input::Overtaken(self.slots[p].clone(), self.logs[p].low));
    }

    fn rebalance(&mut self, p: usize, drain: bool) {
        let slots = BTreeSet::from([self.slots[p].clone()]);
        if drain && !self.apply(Input::Drain(slots.clone())) {
            self.finish();
        }
        if drain {
            self.confirm();
            assert_eq!(self.logs[p].committed.unwrap_or(0), self.next[p], "a drained partition is committed");
        }
        self.apply(Input::Gone(slots));
        self.unconfirmed.clear();
        self.assign(p);
    }

    fn finish(&mut self) {
        while !(self.batches.is_empty() && self.marks.is_empty()) {
            self.publish(0);
            self.publish_mark(0);
        }
    }

    fn crash(&mut self) {
        self.core = Core::new("a".to_owned(), u32::MAX);
        self.batches.clear();
        self.marks.clear();
        self.unconfirmed.clear();
        self.assign(0);
        self.assign(1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_interleaving_commits_unpublished_offsets(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.apply(Input::Tick);
        world.finish();
        world.apply(Input::Tick);
        world.confirm();
        world.apply(Input::Tick);
        world.finish();
        world.apply(Input::Tick);
        world.confirm();
        for p in 0..2 {
            prop_assert_eq!(world.logs[p].committed.unwrap_or(0), world.next[p], "all that was read is committed");
        }
    }
}
