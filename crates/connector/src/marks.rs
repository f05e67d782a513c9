//! Writes marks, four times a second and at each drain, and remembers what each mark in flight accounts for.
//!
//! Pure. See [`crate::core`] for when a mark is due, and [`event::mark`] for its format.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use event::{
    Mark,
    mark::{LogEnd, PartitionMark, TopicMark},
};
use kafka::Slot;

use crate::ledger::Ledger;

/// The number of a mark message in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkId(pub u64);

/// The marks of one replica.
#[derive(Clone, Debug)]
pub struct Marks {
    replica: String,
    /// The topics among which a field selects one.
    outputs: Vec<Arc<str>>,
    sequence: u64,
    next_id: u64,
    in_flight: BTreeMap<MarkId, Covered>,
}

/// The offsets that a mark accounts for, with their assignment.
pub type Covered = Vec<(Slot, Range<u64>)>;

impl Marks {
    /// `replica` names this process in its marks; for humans.
    pub fn new(replica: String) -> Self {
        Self { replica, outputs: Vec::new(), sequence: 0, next_id: 0, in_flight: BTreeMap::new() }
    }

    /// With the Pub/Sub topics among which a field selects one.
    #[must_use]
    pub fn with_outputs(self, outputs: Vec<Arc<str>>) -> Self {
        Self { outputs, ..self }
    }

    /// Number of mark messages that wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Writes the next mark over all ledgers: one message, or several if there are very many ranges.
    pub fn write(
        &mut self,
        ledgers: &mut BTreeMap<Slot, Ledger>,
        ends: &HashMap<Slot, LogEnd>,
        topics: &[TopicMark],
    ) -> Vec<(MarkId, Mark)> {
        self.sequence += 1;
        let slots: HashMap<(Arc<str>, i32), Slot> =
            ledgers.keys().map(|slot| ((slot.topic.clone(), slot.partition), slot.clone())).collect();
        let partitions =
            ledgers.iter_mut().map(|(slot, ledger)| partition_mark(ledger, ends.get(slot))).collect();
        let mark = Mark {
            version: if self.outputs.is_empty() { Mark::VERSION } else { Mark::ROUTED },
            replica: self.replica.clone(),
            sequence: self.sequence,
            partitions,
            topics: topics.to_vec(),
            outputs: self.outputs.clone(),
        };
        mark.split().into_iter().map(|part| (self.send(&part, &slots), part)).collect()
    }

    /// A mark was acknowledged. Returns what it accounts for.
    pub fn acknowledged(&mut self, id: MarkId) -> Covered {
        self.in_flight.remove(&id).unwrap_or_default()
    }

    fn send(&mut self, part: &Mark, slots: &HashMap<(Arc<str>, i32), Slot>) -> MarkId {
        let id = MarkId(self.next_id);
        self.next_id += 1;
        let mut covered = Covered::new();
        for entry in &part.partitions {
            if let Some(slot) = slots.get(&(entry.partition.topic.clone(), entry.partition.partition)) {
                covered.extend(entry.ranges.iter().map(|range| (slot.clone(), range.offsets())));
            }
        }
        self.in_flight.insert(id, covered);
        id
    }
}

fn partition_mark(ledger: &mut Ledger, end: Option<&LogEnd>) -> PartitionMark {
    PartitionMark {
        partition: ledger.partition().clone(),
        ranges: ledger.take_unmarked(),
        position: ledger.next(),
        committed: ledger.committed(),
        end: end.copied(),
    }
}

#[cfg(test)]
mod tests {
    use event::{EventTime, Partition};

    use super::*;
    use kafka::start::{Facts, StartRule, decide};

    fn ledger(partition: i32) -> (Slot, Ledger) {
        let facts = Facts {
            topic_id: "id".to_owned(),
            committed: None,
            group_is_new: true,
            low: 4,
            stable: 4,
            high: 4,
        };
        let slot = Slot { topic: "events".into(), partition, generation: 7 };
        let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition };
        (slot, Ledger::open(partition, &decide(&facts, StartRule::Earliest)))
    }

    #[test]
    fn a_mark_has_each_range_once() {
        let mut ledgers = BTreeMap::from([ledger(0), ledger(1)]);
        let slot = ledgers.keys().next().expect("there are two").clone();
        let end = LogEnd { offset: 9, asked_at: EventTime(5) };
        let ends = HashMap::from([(slot.clone(), end)]);
        let mut marks = Marks::new("a".to_owned());
        let written = marks.write(&mut ledgers, &ends, &[]);
        let [(id, mark)] = written.as_slice() else { panic!("one message") };
        assert_eq!(mark.partitions.iter().map(|p| p.ranges.len()).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(mark.partitions[0].end, Some(end));
        let again = marks.write(&mut ledgers, &ends, &[]);
        assert_eq!(again[0].1.sequence, 2);
        assert!(again[0].1.partitions.iter().all(|p| p.ranges.is_empty()));
        assert_eq!(marks.in_flight(), 2);
        assert_eq!(marks.acknowledged(*id)[0], (slot, 0..4));
        assert_eq!(marks.acknowledged(*id), vec![], "only once");
    }

    #[test]
    fn a_large_mark_is_acknowledged_in_parts() {
        let (slot, mut ledger) = ledger(0);
        for n in 0..25_000u64 {
            ledger.reject(4 + 2 * n, "not-json", None);
        }
        let mut ledgers = BTreeMap::from([(slot.clone(), ledger)]);
        let mut marks = Marks::new("a".to_owned());
        let parts = marks.write(&mut ledgers, &HashMap::new(), &[]);
        assert!(parts.len() > 2);
        for (id, _) in parts {
            for (covered, range) in marks.acknowledged(id) {
                ledgers.get_mut(&covered).expect("it is assigned").acknowledge(range);
            }
        }
        assert!(ledgers[&slot].is_settled());
    }
}
