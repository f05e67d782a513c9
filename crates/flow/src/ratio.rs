//! Rates, and how certain they are.

/// The 97.5 % quantile of the standard normal distribution: two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A rate; `None` if there is nothing to divide by. Above 1 where clicks are in a later window than their views.
pub fn rate(of: f64, over: f64) -> Option<f64> {
    // Adding 0 turns a negative zero into zero.
    (over != 0.0).then(|| of / over + 0.0)
}

/// Wilson's score interval at 95 % (E. B. Wilson, 1927) of a share; `None` without trials or with more successes than
/// trials.
///
/// ```
/// let (low, high) = flow::ratio::interval(20, 100).unwrap();
/// assert!((low - 0.1334).abs() < 1e-4 && (high - 0.2888).abs() < 1e-4);
/// ```
pub fn interval(successes: u64, trials: u64) -> Option<(f64, f64)> {
    if trials == 0 || successes > trials {
        return None;
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let z2 = Z * Z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the interval touches 0 or 1 exactly; rounding must not push it out.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_the_published_ones() {
        for (trials, successes, low, high) in [(10, 2, 0.056_7, 0.509_8), (100, 20, 0.133_4, 0.288_8)] {
            let (l, h) = interval(successes, trials).expect("there are trials");
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{successes}/{trials}: {l} {h}");
        }
        assert_eq!(interval(0, 0), None);
        assert_eq!(interval(2, 1), None);
        assert_eq!(rate(3.0, 0.0), None);
        assert_eq!(rate(3.0, 2.0), Some(1.5));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_rate(trials in 1u64..10_000_000, share in 0.0f64..=1.0) {
            let successes = (trials as f64 * share) as u64;
            let (low, high) = interval(successes, trials).expect("there are trials");
            let rate = rate(successes as f64, trials as f64).expect("there are trials");
            prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
        }
    }
}
