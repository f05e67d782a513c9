//! Fixed and sliding windows, half-open, with Apache Beam's meaning, and the slices they are made of.
//!
//! A slice is gcd(size, period) long, so that every window is a whole number of slices.
//! Not here: what is counted in them, and when they fire.

use std::num::NonZeroI64;

use serde::{Deserialize, Serialize};

use crate::{time::EventTime, units::Millis};

/// One window: `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First millisecond in it.
    pub start: EventTime,
    /// First millisecond behind it.
    pub end: EventTime,
}

/// How windows are laid over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    size: NonZeroI64,
    period: NonZeroI64,
    slice: NonZeroI64,
}

/// Why a size and a period make no windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A length of nothing.
    #[error("size and period must be longer than 0")]
    Empty,
    /// A key would be written to more windows than anyone can read.
    #[error("an event would fall into more than 1440 windows; use a longer period or a shorter size")]
    TooMany,
}

impl Windows {
    /// The most windows that one event may fall into.
    pub const MAX_OVERLAP: i64 = 1440;

    /// Windows of `size` that begin every `period`; a fixed window has both the same.
    ///
    /// # Errors
    /// When a length is 0, or an event would fall into more than [`Self::MAX_OVERLAP`] windows.
    pub fn try_new(size: Millis, period: Millis) -> Result<Self, WindowError> {
        let (Some(size), Some(period)) = (NonZeroI64::new(size.0.max(0)), NonZeroI64::new(period.0.max(0)))
        else {
            return Err(WindowError::Empty);
        };
        if size.get() / period.get() > Self::MAX_OVERLAP {
            return Err(WindowError::TooMany);
        }
        let slice = gcd(size, period);
        Ok(Self { size, period, slice })
    }

    /// Length of a window.
    pub fn size(&self) -> Millis {
        Millis(self.size.get())
    }

    /// Distance between two starts.
    pub fn period(&self) -> Millis {
        Millis(self.period.get())
    }

    /// Length of a slice: the greatest common divisor of size and period.
    pub fn slice(&self) -> Millis {
        Millis(self.slice.get())
    }

    /// Start of the slice that holds a time; before 1970 too.
    pub fn slice_start(&self, time: EventTime) -> EventTime {
        EventTime(time.0 - time.0.rem_euclid(self.slice.get()))
    }

    /// The window that begins at `start`.
    pub fn at(&self, start: EventTime) -> Window {
        Window { start, end: start + self.size() }
    }

    /// The last window start at or before a time.
    pub fn last_start(&self, time: EventTime) -> EventTime {
        EventTime(time.0 - time.0.rem_euclid(self.period.get()))
    }

    /// The windows that hold a time, the earliest first. None where the period is longer than the
    /// size and the time falls between two windows.
    pub fn holding(&self, time: EventTime) -> impl Iterator<Item = Window> + use<> {
        let this = *self;
        let last = self.last_start(time).0;
        // Smallest k with last - k * period > time - size, counted down so that the earliest comes first.
        let count =
            (last - (time.0 - this.size.get()) + this.period.get() - 1).div_euclid(this.period.get()).max(0);
        (0..count).rev().map(move |k| this.at(EventTime(last - k * this.period.get())))
    }

    /// The starts of the slices that a window is the merge of.
    pub fn slices(&self, window: Window) -> impl Iterator<Item = EventTime> + use<> {
        let slice = self.slice.get();
        (0..self.size.get() / slice).map(move |n| EventTime(window.start.0 + n * slice))
    }
}

/// Euclid's greatest common divisor.
fn gcd(a: NonZeroI64, b: NonZeroI64) -> NonZeroI64 {
    NonZeroI64::new(a.get() % b.get()).map_or(b, |rest| gcd(b, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(size: i64, period: i64) -> Windows {
        Windows::try_new(Millis(size), Millis(period)).expect("lengths are positive")
    }

    fn starts(size: i64, period: i64, time: i64) -> Vec<i64> {
        windows(size, period).holding(EventTime(time)).map(|w| w.start.0).collect()
    }

    #[test]
    fn events_fall_into_windows() {
        for (size, period, time, expected) in [
            (180, 60, 30, vec![-120, -60, 0]),
            (60, 60, 60, vec![60]),
            (60, 60, -1, vec![-60]),
            (60, 100, 59, vec![0]),
            (60, 100, 60, vec![]),
            (100, 70, 139, vec![70]),
            (100, 70, 140, vec![70, 140]),
        ] {
            assert_eq!(starts(size, period, time), expected, "{size}/{period} at {time}");
        }
    }

    proptest! {
        #[test]
        fn holding_is_what_a_search_finds(size in 1i64..200, period in 1i64..200, time in -5000i64..5000) {
            let w = windows(size, period);
            let naive: Vec<i64> = (-6000..=5000)
                .filter(|start: &i64| start.rem_euclid(period) == 0 && *start <= time && time < start + size)
                .collect();
            prop_assert_eq!(starts(size, period, time), naive);
            let slice = w.slice_start(EventTime(time));
            for window in w.holding(EventTime(time)) {
                prop_assert_eq!(w.slices(window).filter(|s| *s == slice).count(), 1);
                prop_assert_eq!(w.slices(window).last().map(|s| s + w.slice()), Some(window.end));
            }
        }
    }
}
