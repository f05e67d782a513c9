//! Sets of offsets as disjoint half-open ranges. Memory is proportional to the number of gaps, not to the number of
//! offsets.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

/// A set of offsets. Adjacent ranges are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges {
    /// start -> end; disjoint, never adjacent, never empty.
    by_start: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds a range and returns how many of its offsets were new. An empty range adds nothing.
    pub fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (mut start, mut end) = (range.start, range.end);
        let mut known = 0;
        // Only ranges that begin at or before the new end can touch it; they are visited from the right.
        while let Some((&s, &e)) = self.by_start.range(..=end).next_back() {
            if e < start {
                break;
            }
            known += e.min(range.end).saturating_sub(s.max(range.start));
            start = start.min(s);
            end = end.max(e);
            self.by_start.remove(&s);
        }
        self.by_start.insert(start, end);
        (range.end - range.start) - known
    }

    /// Removes a range.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&s, &e)) = self.by_start.range(..range.end).next_back() {
            if e <= range.start {
                break;
            }
            self.by_start.remove(&s);
            if e > range.end {
                self.by_start.insert(range.end, e);
            }
            if s < range.start {
                self.by_start.insert(s, range.start);
                break;
            }
        }
    }

    /// Whether the offset is in the set.
    pub fn contains(&self, offset: u64) -> bool {
        self.by_start.range(..=offset).next_back().is_some_and(|(_, &end)| offset < end)
    }

    /// The end of the range that contains `from`; `from` itself if it is not in the set.
    pub fn prefix_end(&self, from: u64) -> u64 {
        match self.by_start.range(..=from).next_back() {
            Some((_, &end)) if end > from => end,
            _ => from,
        }
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = self.prefix_end(range.start);
        for (&start, &end) in self.by_start.range(at..) {
            if start >= range.end {
                break;
            }
            if start > at {
                gaps.push(at..start);
            }
            at = end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.by_start.iter().map(|(&start, &end)| start..end)
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// The number of offsets in the set.
    pub fn count(&self) -> u64 {
        self.by_start.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..40)) {
            let (mut ranges, mut naive) = (Ranges::default(), BTreeSet::new());
            for (insert, start, length) in steps {
                let range = start..start + length;
                if insert {
                    let new = range.clone().filter(|&o| naive.insert(o)).count() as u64;
                    prop_assert_eq!(ranges.insert(range), new);
                } else {
                    naive.retain(|o| !range.contains(o));
                    ranges.remove(range);
                }
                let listed: Vec<u64> = ranges.iter().flatten().collect();
                prop_assert_eq!(&listed, &naive.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ranges.count(), naive.len() as u64);
                let mut last_end = None;
                for range in ranges.iter() {
                    prop_assert!(!range.is_empty() && last_end.is_none_or(|end| end < range.start));
                    last_end = Some(range.end);
                }
                let gaps: Vec<u64> = ranges.gaps(5..35).into_iter().flatten().collect();
                prop_assert_eq!(gaps, (5..35).filter(|o| !naive.contains(o)).collect::<Vec<_>>());
                prop_assert_eq!(ranges.prefix_end(7), (7..).find(|o| !naive.contains(o)).unwrap_or(7));
            }
        }
    }
}
