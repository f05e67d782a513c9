//! Click-through rates.

use serde::{Deserialize, Serialize};

/// Views and clicks of one key in one slice or window; adding is associative and commutative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ctr {
    /// Events that count as a view.
    pub views: u64,
    /// Events that count as a click, by their own time.
    pub clicks: u64,
    /// With a join: distinct clicked views, by the view's time.
    pub attributed: u64,
}

/// The 97.5 % quantile of the standard normal distribution: two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

impl Ctr {
    /// Adds another count.
    pub fn merge(&mut self, other: Self) {
        self.views += other.views;
        self.clicks += other.clicks;
        self.attributed += other.attributed;
    }

    /// Clicks a view; nothing without views; above 1 when clicks fell into a later window than their views.
    pub fn rate(&self) -> Option<f64> {
        (self.views > 0).then(|| self.clicks as f64 / self.views as f64)
    }

    /// Distinct clicked views a view: never above 1.
    pub fn attributed_rate(&self) -> Option<f64> {
        (self.views > 0).then(|| self.attributed as f64 / self.views as f64)
    }

    /// Wilson's score interval at 95 % (E. B. Wilson, 1927); nothing without views or with more clicks than views.
    pub fn interval(&self) -> Option<(f64, f64)> {
        if self.views == 0 || self.clicks > self.views {
            return None;
        }
        let n = self.views as f64;
        let p = self.clicks as f64 / n;
        let z2 = Z * Z;
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        // At the ends the interval touches 0 or 1 exactly; rounding must not push it out.
        let low = if self.clicks == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if self.clicks == self.views { 1.0 } else { (centre + half).min(1.0) };
        Some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ctr(views: u64, clicks: u64) -> Ctr {
        Ctr { views, clicks, attributed: 0 }
    }

    #[test]
    fn the_published_values() {
        for (views, clicks, low, high) in [(10, 2, 0.056_7, 0.509_8), (100, 20, 0.133_4, 0.288_8)] {
            let (l, h) = ctr(views, clicks).interval().expect("there are views");
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{clicks}/{views}: {l} {h}");
        }
        assert_eq!(ctr(0, 0).interval(), None);
        assert_eq!(ctr(1, 2).interval(), None);
        assert_eq!(ctr(0, 3).rate(), None);
        assert_eq!(ctr(2, 3).rate(), Some(1.5));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_rate(views in 1u64..10_000_000, share in 0.0f64..=1.0) {
            let count = ctr(views, (views as f64 * share) as u64);
            let (low, high) = count.interval().expect("there are views");
            let rate = count.rate().expect("there are views");
            prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
        }
    }
}
