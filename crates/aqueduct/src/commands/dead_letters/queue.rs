//! The records that a redrive reads, in the order of topic, partition and offset.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use event::Partition;
use processor::rejected::{FlowSet, Rejected};
use writer::{Letters, Writer};

use super::{filter::Filter, progress::At};

/// What the state knows of the chosen partitions.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    logs: BTreeMap<(String, i32), Log>,
    /// Offsets of topics that were deleted or recreated since.
    pub(super) of_older: u64,
}

#[derive(Debug)]
struct Log {
    partition: Partition,
    /// Ascending, without overlaps.
    spans: Vec<(Range<u64>, FlowSet)>,
}

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) partition: Partition,
    /// Ascending.
    pub(super) offsets: Vec<u64>,
}

/// Where the records come from.
pub(super) enum Queue {
    /// All that the state knows.
    State,
    /// Those of them that match lines of the table.
    Table(Box<Lines>),
}

/// Lines of the table, page by page.
pub(super) struct Lines {
    writer: Writer,
    letters: Letters,
    found: VecDeque<At>,
    is_end: bool,
}

/// Lines of the table that are read at once.
const PAGE: usize = 20_000;

impl Rejects {
    /// The rejected offsets of these partitions, which Kafka has at present.
    pub(super) fn of(rejected: &Rejected, current: &[Partition], filter: &Filter) -> Self {
        let mut rejects = Self::default();
        for (partition, offsets, refused) in rejected.iter() {
            if !filter.takes(&partition.topic, partition.partition) {
                continue;
            }
            if !current.contains(partition) {
                rejects.of_older += offsets.end - offsets.start;
                continue;
            }
            let place = (partition.topic.to_string(), partition.partition);
            let new = || Log { partition: partition.clone(), spans: Vec::new() };
            rejects.logs.entry(place).or_insert_with(new).spans.push((offsets, refused.flows.clone()));
        }
        rejects
    }

    /// The flows that reject a record.
    pub(super) fn flows(&self, topic: &str, partition: i32, offset: u64) -> Option<&FlowSet> {
        let log = self.logs.get(&(topic.to_owned(), partition))?;
        let (offsets, flows) =
            log.spans.get(log.spans.partition_point(|(offsets, _)| offsets.end <= offset))?;
        offsets.contains(&offset).then_some(flows)
    }

    /// The number of offsets after a record.
    pub(super) fn count(&self, after: Option<&At>) -> u64 {
        let of_log = |(place, log): (&(String, i32), &Log)| -> u64 {
            let first = first_offset(place, after);
            log.spans.iter().map(|(offsets, _)| offsets.end.saturating_sub(offsets.start.max(first))).sum()
        };
        self.logs.iter().map(of_log).sum()
    }

    /// The first records after one, of one partition.
    fn next(&self, after: Option<&At>, most: usize) -> Option<Chunk> {
        self.logs.iter().find_map(|(place, log)| {
            let first = first_offset(place, after);
            let from = log.spans.partition_point(|(offsets, _)| offsets.end <= first);
            let offsets =
                log.spans[from..].iter().flat_map(|(offsets, _)| offsets.start.max(first)..offsets.end);
            let offsets: Vec<u64> = offsets.take(most).collect();
            (!offsets.is_empty()).then(|| Chunk { partition: log.partition.clone(), offsets })
        })
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.logs.get(&(topic.to_owned(), partition)).map(|log| &log.partition)
    }
}

/// The first offset of a partition that is after a record.
fn first_offset((topic, partition): &(String, i32), after: Option<&At>) -> u64 {
    let Some((last, number, offset)) = after else { return 0 };
    match (topic, partition).cmp(&(last, number)) {
        std::cmp::Ordering::Less => u64::MAX,
        std::cmp::Ordering::Equal => offset + 1,
        std::cmp::Ordering::Greater => 0,
    }
}

impl Queue {
    /// The lines of a filter.
    pub(super) fn of_table(writer: Writer, filter: &Filter) -> Self {
        let (letters, found) = (filter.letters(PAGE), VecDeque::new());
        Self::Table(Box::new(Lines { writer, letters, found, is_end: false }))
    }

    /// The first records after one, at most this many, of one partition; `None` at the end.
    ///
    /// # Errors
    /// The table cannot be read.
    pub(super) async fn next(
        &mut self,
        rejects: &Rejects,
        after: Option<&At>,
        most: usize,
    ) -> anyhow::Result<Option<Chunk>> {
        let Self::Table(lines) = self else {
            return Ok(rejects.next(after, most));
        };
        let Lines { writer, letters, found, is_end } = &mut **lines;
        while found.is_empty() && !*is_end {
            letters.after = letters.after.take().max(after.cloned());
            let lines = writer.dead_letters(letters).await?;
            *is_end = lines.len() < PAGE;
            letters.after = lines.last().map(|line| (line.topic.to_string(), line.partition, line.offset));
            let of_line = lines.into_iter().map(|line| (line.topic.to_string(), line.partition, line.offset));
            let is_rejected =
                |(topic, partition, offset): &At| rejects.flows(topic, *partition, *offset).is_some();
            found.extend(of_line.filter(is_rejected));
        }
        let Some((topic, number, _)) = found.front().cloned() else { return Ok(None) };
        let Some(partition) = rejects.partition(&topic, number) else { return Ok(None) };
        let mut offsets = Vec::new();
        let is_same = |at: &mut At| at.0 == topic && at.1 == number;
        while offsets.len() < most
            && let Some((_, _, offset)) = found.pop_front_if(is_same)
        {
            if offsets.last() != Some(&offset) {
                offsets.push(offset);
            }
        }
        Ok(Some(Chunk { partition: partition.clone(), offsets }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, partition: i32) -> Partition {
        Partition { topic: topic.into(), incarnation: "i".into(), partition }
    }

    fn rejects(spans: &[(&str, i32, Range<u64>)]) -> Rejects {
        let mut logs: BTreeMap<(String, i32), Log> = BTreeMap::new();
        for (topic, number, offsets) in spans {
            let log = || Log { partition: partition(topic, *number), spans: Vec::new() };
            let spans = &mut logs.entry(((*topic).to_owned(), *number)).or_insert_with(log).spans;
            spans.push((offsets.clone(), FlowSet::first(1)));
        }
        Rejects { logs, of_older: 0 }
    }

    #[test]
    fn every_record_comes_once_whatever_the_size_of_chunks() {
        let rejects = rejects(&[("a", 0, 3..5), ("a", 0, 9..10), ("a", 11, 0..4), ("b", 2, 7..8)]);
        let expected: Vec<At> = [("a", 0, 3), ("a", 0, 4), ("a", 0, 9)]
            .into_iter()
            .chain((0..4).map(|offset| ("a", 11, offset)))
            .chain([("b", 2, 7)])
            .map(|(topic, partition, offset)| (topic.to_owned(), partition, offset))
            .collect();
        for most in 1..10 {
            let (mut after, mut found) = (None, Vec::new());
            while let Some(chunk) = rejects.next(after.as_ref(), most) {
                assert_eq!(rejects.count(after.as_ref()), (expected.len() - found.len()) as u64);
                assert!(chunk.offsets.len() <= most);
                let Partition { topic, partition, .. } = &chunk.partition;
                found.extend(chunk.offsets.iter().map(|offset| (topic.to_string(), *partition, *offset)));
                after = found.last().cloned();
            }
            assert_eq!(found, expected);
        }
        let is_rejected = |offset| rejects.flows("a", 0, offset).is_some();
        assert_eq!((0..12).filter(|offset| is_rejected(*offset)).collect::<Vec<_>>(), [3, 4, 9]);
    }
}
