//! How fast messages of one ordering key are published. Pub/Sub takes 1 MB/s for each key, and delays what exceeds it.
//!
//! Pure. Keys are kept as hashes, for a second: a key may name a person, so it appears nowhere else.

use std::{
    hash::BuildHasher as _,
    time::{Duration, Instant},
};

use pubsub::limits::MAX_KEY_RATE;
use rustc_hash::{FxBuildHasher, FxHashMap};

/// The bytes of each key since the last look.
#[derive(Debug)]
pub(crate) struct KeyRates {
    bytes: FxHashMap<u64, u64>,
    since: Instant,
    warned: Option<Instant>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fastest {
    /// The bytes per second of the fastest key.
    pub(crate) rate: u64,
    /// Whether the operator has to know.
    pub(crate) is_news: bool,
}

/// Maximum number of keys that are measured between two looks. A key that takes megabytes is soon among them.
const KEYS: usize = 65_536;
/// From nine tenths of the limit on, an operator has to act before messages are delayed.
const NEAR: u64 = MAX_KEY_RATE / 10 * 9;
const QUIET: Duration = Duration::from_secs(60);

impl KeyRates {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bytes: FxHashMap::default(), since: now, warned: None }
    }

    /// Counts a message that is about to be published.
    pub(crate) fn add(&mut self, key: &str, bytes: usize) {
        let has_room = self.bytes.len() < KEYS;
        match self.bytes.get_mut(&FxBuildHasher.hash_one(key)) {
            Some(sum) => *sum += bytes as u64,
            None if has_room => {
                self.bytes.insert(FxBuildHasher.hash_one(key), bytes as u64);
            }
            None => {}
        }
    }

    /// The rate of the fastest key since the last look, which is news at most once a minute.
    pub(crate) fn look(&mut self, now: Instant) -> Fastest {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64().max(0.1);
        let most = self.bytes.values().max().copied().unwrap_or(0);
        let rate = (most as f64 / elapsed) as u64;
        self.bytes.clear();
        self.since = now;
        let is_quiet = self.warned.is_some_and(|warned| now < warned + QUIET);
        let is_news = rate >= NEAR && !is_quiet;
        if is_news {
            self.warned = Some(now);
        }
        Fastest { rate, is_news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_key_is_reported_once_a_minute() {
        let start = Instant::now();
        let mut rates = KeyRates::new(start);
        let mut news = Vec::new();
        for second in 1..=130u64 {
            for (key, bytes) in [("a", 400_000), ("b", 300_000), ("a", 500_000)] {
                rates.add(key, bytes);
            }
            let fastest = rates.look(start + Duration::from_secs(second));
            assert_eq!(fastest.rate, 900_000);
            news.extend(fastest.is_news.then_some(second));
        }
        assert_eq!(news, [1, 61, 121]);
        rates.add("a", 899_999);
        let later = start + Duration::from_secs(300);
        assert_eq!(rates.look(later), Fastest { rate: 899_999 / 170, is_news: false });
        assert_eq!(rates.look(later + Duration::from_secs(1)).rate, 0, "each second counts alone");
    }

    #[test]
    fn the_number_of_measured_keys_is_bounded() {
        let start = Instant::now();
        let mut rates = KeyRates::new(start);
        rates.add("hot", 1);
        (0..2 * KEYS).for_each(|n| rates.add(&n.to_string(), 1));
        assert_eq!(rates.bytes.len(), KEYS);
        rates.add("hot", 5_000_000);
        assert!(rates.look(start + Duration::from_secs(1)).is_news);
    }
}
