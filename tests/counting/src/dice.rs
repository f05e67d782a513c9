//! Random choices from a seed, the same on every machine.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A seeded source of choices.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The source of a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// As [`new`](Self::new), for several uses of a seed; stream 0 equals `new`.
    #[must_use]
    pub fn stream(mut self, stream: u64) -> Self {
        self.0.set_stream(stream);
        self
    }

    /// A number from `low` to `high`, inclusive, with a negligible bias.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).saturating_add(1);
        low.saturating_add_unsigned(self.0.next_u64() % span)
    }

    /// `true` in this many of a hundred cases.
    pub fn percent(&mut self, percent: i64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// An index into a list of this length, which must not be 0.
    pub fn index(&mut self, length: usize) -> usize {
        self.between(0, length as i64 - 1) as usize
    }
}
