//! Totals in, rates and their course out. Pure: the time is an argument.

use std::collections::VecDeque;

use event::EventTime;

use crate::status::{Rate, millis_between};

/// A total that only grows, sampled now and then.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<(EventTime, u64)>,
}

/// What is kept: five minutes.
const KEPT_MS: u64 = 300_000;
/// What a rate is measured over.
const WINDOW_MS: u64 = 10_000;
/// Minimum distance of samples, which bounds the memory.
const STEP_MS: u64 = 950;
/// Points of a course.
const POINTS: u64 = 60;

impl History {
    /// Notes the total at a time.
    pub fn sample(&mut self, at: EventTime, total: u64) {
        if self.samples.back().is_some_and(|(last, _)| millis_between(*last, at) < STEP_MS) {
            return;
        }
        if self.samples.back().is_some_and(|(_, last)| total < *last) {
            self.samples.clear();
        }
        self.samples.push_back((at, total));
        while self.samples.front().is_some_and(|(first, _)| millis_between(*first, at) > KEPT_MS) {
            self.samples.pop_front();
        }
    }

    /// The rate of the last ten seconds, and its course over five minutes.
    pub fn rate(&self) -> Rate {
        let Some((newest, _)) = self.samples.back() else { return Rate::default() };
        let back = |age: u64| newest.0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        let step = KEPT_MS / POINTS;
        let points = (0..POINTS).rev();
        let course = points.filter_map(|point| self.between(back((point + 1) * step), back(point * step)));
        Rate { per_second: self.between(back(WINDOW_MS), newest.0).unwrap_or(0.0), course: course.collect() }
    }

    /// The rate between the samples next to two times; nothing where there are fewer than two.
    fn between(&self, from: i64, to: i64) -> Option<f64> {
        let first = self.samples.partition_point(|(at, _)| at.0 < from);
        let last = self.samples.partition_point(|(at, _)| at.0 <= to).checked_sub(1)?;
        let ((start, before), (end, after)) = (self.samples.get(first)?, self.samples.get(last)?);
        let millis = millis_between(*start, *end);
        (first < last && millis > 0).then(|| after.saturating_sub(*before) as f64 * 1000.0 / millis as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(totals: impl Iterator<Item = (i64, u64)>) -> Rate {
        let mut history = History::default();
        totals.for_each(|(second, total)| history.sample(EventTime(second * 1000), total));
        history.rate()
    }

    #[test]
    fn a_steady_rate_is_steady() {
        let rate = sampled((0..400).map(|second| (second, second as u64 * 50)));
        assert!((rate.per_second - 50.0).abs() < 0.01, "{}", rate.per_second);
        assert_eq!(rate.course.len(), 60);
        assert!(rate.course.iter().all(|point| (point - 50.0).abs() < 0.01), "{:?}", rate.course);
    }

    #[test]
    fn a_rate_falls_to_zero_after_ten_seconds() {
        let rate =
            sampled((0..60).map(|second| (second, if second < 40 { second as u64 * 10 } else { 400 })));
        assert_eq!(rate.per_second, 0.0);
    }

    #[test]
    fn a_rate_needs_two_samples_without_reset() {
        assert_eq!(sampled([(0, 5)].into_iter()).per_second, 0.0);
        let rate = sampled([(0, 500), (1, 600), (2, 0), (3, 10)].into_iter());
        assert_eq!((rate.per_second, rate.course.len()), (10.0, 1));
    }
}
