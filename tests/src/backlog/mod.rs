//! A backlog of any length that is not stored: record n is a function of n, both for delivery and for the recount.
//!
//! - [`Shape`]: record n, and the expected outcome of all records
//! - [`order`]: the order of delivery; [`message`] and [`marks`]: what the connector would have published
//! - [`held`]: a Pub/Sub stand-in that generates them on delivery
//! - [`beam`]: how many of them Apache Beam's rule for Pub/Sub would drop

pub mod beam;
pub mod held;
pub mod marks;
pub mod message;
pub mod order;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::recount::{Counts, Recount, stamp};

/// The parameters of a backlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The Kafka topic.
    pub topic: String,
    /// Number of partitions, filled in turn.
    pub partitions: u64,
    /// Records per hour.
    pub an_hour: u64,
    /// Time at which the first record was written, milliseconds since the epoch.
    pub start: i64,
    /// Number of pages.
    pub pages: u64,
    /// Number of boxes on each page.
    pub boxes: u64,
    /// Seed of the random choices.
    pub seed: u64,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its index in the backlog.
    pub number: u64,
    /// Its partition.
    pub partition: u64,
    /// Its offset.
    pub offset: u64,
    /// When it was written to Kafka.
    pub written: i64,
    /// The event time, slightly earlier.
    pub time: i64,
    /// Its kind.
    pub kind: Kind,
    /// Number of its page.
    pub page: u64,
    /// Number of its box on the page.
    pub place: u64,
}

/// The expected outcome of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counted.
    View,
    /// Counted.
    Click,
    /// Ignored.
    Other,
    /// Rejected by the connector: its offset is in a mark.
    Refused,
}

const HOUR: u64 = 3_600_000;
const MINUTE: i64 = 60_000;
const SLICES: usize = 10;
/// Maximum disorder of the events; less than `out_of_orderness`.
const DISORDER: u64 = 4_000;
/// One of this many records is rejected.
const REFUSED_EVERY: u64 = 997;

impl Shape {
    /// Record n.
    pub fn record(&self, number: u64) -> Record {
        let lot = mixed(self.seed ^ mixed(number));
        let kind = match lot % 20 {
            _ if number % REFUSED_EVERY == REFUSED_EVERY - 1 => Kind::Refused,
            0 => Kind::Other,
            1..=3 => Kind::Click,
            _ => Kind::View,
        };
        let written = self.written(number);
        Record {
            number,
            partition: number % self.partitions,
            offset: number / self.partitions,
            written,
            time: written - ((lot >> 8) % DISORDER) as i64,
            kind,
            page: (lot >> 24) % self.pages,
            place: (lot >> 44) % self.boxes,
        }
    }

    /// When record n was written.
    pub fn written(&self, number: u64) -> i64 {
        self.start + (number * HOUR / self.an_hour) as i64
    }

    /// Number of records that were written until a time, inclusive.
    pub fn written_by(&self, time: i64) -> u64 {
        let since = u64::try_from(time.saturating_sub(self.start));
        since.map_or(0, |since| ((since + 1) * self.an_hour).div_ceil(HOUR))
    }

    /// The rejected records from one index to below another.
    pub fn refused(&self, from: u64, to: u64) -> impl Iterator<Item = Record> {
        let first = (from + 1).next_multiple_of(REFUSED_EVERY) - 1;
        (first..to).step_by(REFUSED_EVERY as usize).map(|number| self.record(number))
    }

    /// The log end of a partition when this many records had been written in total.
    pub fn end_of(&self, partition: u64, records: u64) -> u64 {
        (records + self.partitions - 1 - partition) / self.partitions
    }

    /// The expected outcomes of the first records, and the ten-minute windows with a period of a minute that end by
    /// `complete`.
    ///
    /// # Errors
    /// A time is out of range.
    pub fn recount(&self, records: u64, complete: i64) -> Result<Recount> {
        let base = (self.start - DISORDER as i64).div_euclid(MINUTE);
        let keys = usize::try_from(self.pages * self.boxes)?;
        let mut minutes: Vec<Vec<(u64, u64)>> = Vec::new();
        let mut ledger = BTreeMap::new();
        for record in (0..records).map(|number| self.record(number)) {
            let (outcome, counts) = match record.kind {
                Kind::View => ("counted", (1, 0)),
                Kind::Click => ("counted", (0, 1)),
                Kind::Other => ("ignored", (0, 0)),
                Kind::Refused => ("rejected", (0, 0)),
            };
            *ledger.entry(outcome).or_default() += 1;
            if outcome != "counted" {
                continue;
            }
            let minute = usize::try_from(record.time.div_euclid(MINUTE) - base)?;
            if minute >= minutes.len() {
                minutes.resize(minute + 1, vec![(0, 0); keys]);
            }
            let cell = &mut minutes[minute][usize::try_from(record.page * self.boxes + record.place)?];
            *cell = (cell.0 + counts.0, cell.1 + counts.1);
        }
        Ok(Recount { counts: self.windows(base, &minutes, complete)?, ledger })
    }

    fn windows(&self, base: i64, minutes: &[Vec<(u64, u64)>], complete: i64) -> Result<Counts> {
        let mut counts = Counts::new();
        // The first window begins nine minutes before the first minute.
        for last in 0..minutes.len() + SLICES - 1 {
            let end = (base + last as i64 + 1) * MINUTE;
            if end > complete {
                break;
            }
            let start = stamp(end - SLICES as i64 * MINUTE)?;
            let held = &minutes[(last + 1).saturating_sub(SLICES)..minutes.len().min(last + 1)];
            for key in 0..self.pages * self.boxes {
                let of_key = held.iter().map(|cells| cells[key as usize]);
                let (views, clicks) = of_key.fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
                if views + clicks > 0 {
                    let (page, place) = (page(key / self.boxes), place(key % self.boxes));
                    counts.insert((start.clone(), Some(page), Some(place)), (views, clicks));
                }
            }
        }
        Ok(counts)
    }
}

/// The name of a page.
fn page(number: u64) -> String {
    format!("/p/{number}")
}

/// The name of a box.
fn place(number: u64) -> String {
    format!("box-{number}")
}

/// A pseudo-random number (splitmix64 by Steele and Vigna).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(an_hour: u64, partitions: u64) -> Shape {
        Shape {
            topic: "t".to_owned(),
            partitions,
            an_hour,
            start: 1_760_000_000_123,
            pages: 3,
            boxes: 2,
            seed: 7,
        }
    }

    #[test]
    fn times_and_offsets_match_the_records() {
        for (an_hour, partitions) in [(3_600, 1), (25_001, 3), (1_800_000, 6), (10_800_000, 4)] {
            let shape = shape(an_hour, partitions);
            for number in 0..5_000 {
                let record = shape.record(number);
                assert!(shape.written_by(record.written) > number, "{an_hour}: {number}");
                assert!(shape.written_by(record.written - 1) <= number, "{an_hour}: {number}");
                assert_eq!(shape.end_of(record.partition, number + 1), record.offset + 1);
                assert_eq!(shape.end_of(record.partition, number), record.offset);
                assert!(record.time <= record.written && record.written < record.time + 4_000);
            }
            let refused: Vec<Record> = shape.refused(500, 4_500).collect();
            let all = (500..4_500).map(|number| shape.record(number));
            assert_eq!(refused, all.filter(|record| record.kind == Kind::Refused).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_recount_covers_every_window() -> Result<()> {
        let shape = shape(7_200, 3);
        let complete = shape.start + 900_000;
        let recount = shape.recount(2_000, complete)?;
        let (mut counts, mut ledger) = (Counts::new(), BTreeMap::new());
        for record in (0..2_000).map(|number| shape.record(number)) {
            let one = match record.kind {
                Kind::View => (1, 0),
                Kind::Click => (0, 1),
                Kind::Other | Kind::Refused => {
                    let outcome = if record.kind == Kind::Other { "ignored" } else { "rejected" };
                    *ledger.entry(outcome).or_default() += 1;
                    continue;
                }
            };
            *ledger.entry("counted").or_default() += 1;
            let mut start = record.time - record.time.rem_euclid(MINUTE);
            while start > record.time - 10 * MINUTE {
                if start + 10 * MINUTE <= complete {
                    let key = (stamp(start)?, Some(page(record.page)), Some(place(record.place)));
                    let cell = counts.entry(key).or_default();
                    *cell = (cell.0 + one.0, cell.1 + one.1);
                }
                start -= MINUTE;
            }
        }
        assert_eq!((recount.counts, recount.ledger), (counts, ledger));
        Ok(())
    }
}
