//! Stops the connector when too many records are rejected, so that a stream with a wrong format does not end in the
//! dead letters.
//!
//! Counts the rejects among the last 10,000 records, from the start of the process.

use std::collections::VecDeque;

/// Size of the window in records.
const WINDOW: u64 = 10_000;

/// The rejects among the last 10,000 records.
#[derive(Clone, Debug)]
pub struct RejectWindow {
    limit: u32,
    records: u64,
    /// The numbers of the rejected records within the window, at most `limit + 1` of them.
    rejected: VecDeque<u64>,
}

impl RejectWindow {
    /// Allows at most `limit` rejects among 10,000 records, and also while there have been fewer records.
    pub fn new(limit: u32) -> Self {
        Self { limit, records: 0, rejected: VecDeque::new() }
    }

    /// Counts records, of which those at the ascending indices `rejected` were rejected. Returns the number of rejects
    /// in the window if it exceeds the limit.
    pub fn count(&mut self, records: u64, rejected: impl IntoIterator<Item = u64>) -> Option<u64> {
        let first = self.records;
        self.records += records;
        for index in rejected {
            let number = first + index;
            self.rejected.push_back(number);
            while self.rejected.front().is_some_and(|&oldest| oldest + WINDOW <= number) {
                self.rejected.pop_front();
            }
            if self.rejected.len() as u64 > u64::from(self.limit) {
                return Some(self.rejected.len() as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limit_of_rejects_is_exact() {
        let mut window = RejectWindow::new(100);
        assert_eq!(window.count(100, 0..100), None);
        assert_eq!(window.count(9_900, []), None);
        assert_eq!(window.count(1, [0]), None, "the first one has left the window");
        assert_eq!(window.count(1, []), None);
        let mut young = RejectWindow::new(100);
        assert_eq!(young.count(101, 0..101), Some(101), "few records do not lower the limit, nor raise it");
    }

    proptest! {
        #[test]
        fn the_window_matches_a_recount(
            stream in prop::collection::vec(prop::bool::weighted(0.02), 0..30_000), batch in 1usize..1500, limit in 0u32..300,
        ) {
            let mut window = RejectWindow::new(limit);
            let exceeded = stream.chunks(batch).any(|records| {
                let rejected = records.iter().enumerate().filter(|(_, r)| **r).map(|(n, _)| n as u64);
                window.count(records.len() as u64, rejected).is_some()
            });
            let mut within = 0u32;
            let mut naive = false;
            for n in 0..stream.len() {
                within += u32::from(stream[n]);
                within -= n.checked_sub(10_000).map_or(0, |gone| u32::from(stream[gone]));
                naive |= within > limit;
            }
            prop_assert_eq!(exceeded, naive);
        }
    }
}
