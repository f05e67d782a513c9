//! Exponential backoff with full jitter: how long to wait before the next attempt.
//!
//! Pure state: the caller brings the randomness and does the waiting. Not here: which errors are worth another
//! attempt, and how many.

use std::time::Duration;

/// The growing ceiling of the waits; each wait is a random part of it.
///
/// Full jitter spreads the attempts of many clients best; see "Exponential Backoff And Jitter" (AWS Architecture
/// Blog, 2015).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The first wait is at most `min`; the ceiling doubles with each attempt up to `max` (at least `min`).
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), ceiling: min }
    }

    /// How long to wait now: `random` (from 0 to 1, evenly drawn) of the ceiling, which then doubles.
    ///
    /// A `random` outside that range is clamped, one that is not a number counts as 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let part = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let wait = self.ceiling.mul_f64(part).min(self.ceiling);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        wait
    }

    /// An attempt worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(1);

    #[test]
    fn the_ceiling_doubles_up_to_its_bound_and_starts_again() {
        let mut backoff = Backoff::new(MIN, MAX);
        let waits: Vec<u128> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff, Backoff::new(MIN, MAX));
        assert_eq!(backoff.next(0.5), MIN / 2);
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_ceiling(
            min in 0_u64..100_000, max in 0_u64..u64::MAX, draws in prop::collection::vec(any::<f64>(), 0..80),
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max);
            let mut ceiling = min;
            for random in draws {
                let wait = backoff.next(random);
                prop_assert!(wait <= ceiling, "{wait:?} of {ceiling:?}");
                ceiling = ceiling.saturating_mul(2).min(max.max(min));
            }
        }
    }
}
