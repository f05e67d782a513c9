//! The produced records, kept for the recount.

use serde_json::Value;

use crate::traffic::Outgoing;

/// Every record of a topic, in the order of production.
#[derive(Debug, Default)]
pub struct Produced {
    /// The records.
    pub records: Vec<Record>,
}

/// A record and its position.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
    /// Its value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The expected dead letter, if it is broken.
    pub refused: Option<Refused>,
}

/// The expected row in `dead_letters` of a broken record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// `connector` or `processor`.
    pub stage: &'static str,
    /// The reason code.
    pub reason: &'static str,
    /// The declared pointer that it refers to.
    pub pointer: Option<&'static str>,
}

impl Produced {
    /// The offset of the next record of a partition.
    pub fn next_offset(&self, partition: i32) -> u64 {
        let of_partition = self.records.iter().rev().find(|record| record.partition == partition);
        of_partition.map_or(0, |record| record.offset + 1)
    }

    /// Adds a record at the next offset of its partition.
    pub fn add(&mut self, outgoing: Outgoing) {
        let Outgoing { partition, value, refused, .. } = outgoing;
        let offset = self.next_offset(partition);
        self.records.push(Record { partition, offset, value, refused });
    }

    /// Number of partitions that have a record.
    pub fn partitions(&self) -> i32 {
        self.records.iter().map(|record| record.partition + 1).max().unwrap_or(0)
    }

    /// Every record that must be rejected, as rows of `dead_letters`, in order.
    pub fn dead_letters(&self) -> Vec<(i32, u64, String, String, Option<String>)> {
        let letter = |record: &Record| {
            let refused = record.refused?;
            Some((
                record.partition,
                record.offset,
                refused.stage.to_owned(),
                refused.reason.to_owned(),
                refused.pointer.map(str::to_owned),
            ))
        };
        let mut letters: Vec<_> = self.records.iter().filter_map(letter).collect();
        letters.sort();
        letters
    }
}

impl Record {
    /// The event, if the record is valid.
    pub fn event(&self) -> Option<Value> {
        if self.refused.is_some() {
            return None;
        }
        serde_json::from_slice(self.value.as_deref()?).ok()
    }
}
