//! Exponential backoff with full jitter: how long to wait before the next attempt.
//!
//! Pure: the caller supplies the random number, waits, and decides which errors are worth another attempt.

use std::time::Duration;

/// The upper bound of the delays, which grows; each delay is a random part of it.
/// Full jitter spreads the attempts of many clients best; see "Exponential Backoff And Jitter" (AWS Architecture Blog,
/// 2015).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The first delay is at most `min`; the bound doubles with each attempt up to `max` (at least `min`).
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), ceiling: min }
    }

    /// The next delay: `random` (uniform from 0 to 1) times the bound, which then doubles.
    ///
    /// A `random` outside of that range is clamped; NaN counts as 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let part = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let wait = self.ceiling.mul_f64(part).min(self.ceiling);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        wait
    }

    /// An attempt succeeded: the next delay is short again.
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
