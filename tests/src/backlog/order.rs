//! The order of delivery of a backlog: several lanes in parallel, some of them far ahead.
//!
//! Pub/Sub keeps a topic on many servers, and their relative speed is not specified. Here each lane has every n-th
//! block of records, as one publish request would be stored on one server, and delivers its records in order. Lanes are
//! drawn with unequal probability, and one may be ahead of the last by `lead` records. Disorder among neighbouring
//! messages is added by the stand-in.

use super::mixed;

/// Records of one publish request.
const BLOCK: u64 = 250;
/// Records that a lane delivers before another one is drawn.
const BURST: u32 = 50;

/// Delivers every record once.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// The next record of each lane.
    heads: Vec<u64>,
    lead: u64,
    /// The delivering lane, its limit, and how many more it delivers.
    lane: usize,
    limit: u64,
    left: u32,
    seed: u64,
    draws: u64,
}

impl Lanes {
    /// This many lanes, the fastest at most `lead` records ahead of the slowest.
    pub fn new(lanes: u64, lead: u64, seed: u64) -> Self {
        let heads = (0..lanes.max(1)).map(|lane| lane * BLOCK).collect();
        Self { heads, lead: lead.max(1), lane: 0, limit: 0, left: 0, seed, draws: 0 }
    }

    /// The next record below `end`; `None` once all were delivered.
    pub fn next(&mut self, end: u64) -> Option<u64> {
        if self.left == 0 || self.heads[self.lane] >= self.limit {
            self.draw(end)?;
        }
        self.left -= 1;
        let number = self.heads[self.lane];
        let next = number + 1;
        self.heads[self.lane] =
            if next.is_multiple_of(BLOCK) { next + (self.heads.len() as u64 - 1) * BLOCK } else { next };
        Some(number)
    }

    fn draw(&mut self, end: u64) -> Option<()> {
        let (last, &lowest) = self.heads.iter().enumerate().min_by_key(|(_, head)| **head)?;
        if lowest >= end {
            return None;
        }
        self.limit = end.min(lowest + self.lead);
        let lanes = self.heads.len() as u64;
        let lot = mixed(self.seed ^ mixed(self.draws));
        self.draws += 1;
        // The lower of two draws: the first lanes are drawn more often, and get ahead.
        let drawn = (lot % lanes).min((lot >> 32) % lanes) as usize;
        self.lane = if self.heads[drawn] < self.limit { drawn } else { last };
        self.left = BURST;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_delivered_once() {
        for lanes in [1, 5, 16] {
            let mut order = Lanes::new(lanes, 20_000, 3);
            let mut came: Vec<u64> = Vec::new();
            // The end moves, as if the backlog were still being written.
            for end in (1..=100).map(|part| part * 1_000) {
                came.extend(std::iter::from_fn(|| order.next(end)));
            }
            let (mut highest, mut furthest) = (0, 0);
            for &number in &came {
                highest = highest.max(number);
                furthest = furthest.max(highest - number);
            }
            assert!(furthest < 20_000, "{furthest} behind");
            let mut sorted = came.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..100_000), "{lanes} lanes: {} came", sorted.len());
        }
        let mut order = Lanes::new(16, 20_000, 3);
        let came: Vec<u64> = std::iter::from_fn(|| order.next(100_000)).collect();
        let ahead = came.iter().enumerate().map(|(n, number)| number.saturating_sub(n as u64)).max();
        assert!(ahead > Some(5_000), "at most {ahead:?} ahead");
    }
}
