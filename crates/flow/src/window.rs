//! How windows cover time: sliding and fixed ones, calendar days, sessions.
//!
//! All windows but sessions are made of slices that no window cuts: counts are kept by slice and merged.

use event::{EventTime, Millis};
use serde::{Deserialize, Serialize};

use crate::{calendar::Calendar, sliding::Sliding};

/// One window: `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First millisecond in it.
    pub start: EventTime,
    /// First millisecond after it.
    pub end: EventTime,
}

/// The windows of a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowKind {
    /// The same for all keys.
    Aligned(Windows),
    /// For each key: events with less than `gap` between them.
    Sessions {
        /// The gap.
        gap: Millis,
    },
}

/// Windows that are the same for all keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Windows {
    /// Fixed and sliding.
    Sliding(Sliding),
    /// Days, weeks and months of a time zone.
    Calendar(Calendar),
}

/// Why a size and a period make no windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A length of 0.
    #[error("size and period must be longer than 0")]
    Empty,
    /// A key would be written to too many windows.
    #[error("an event would fall into more than 1440 windows; use a longer period or a shorter size")]
    TooMany,
    /// A key would be kept in too many slices.
    #[error(
        "each window would consist of {0} slices, more than 100000; choose a period that divides the size"
    )]
    TooFine(i64),
}

/// The most windows that one event may fall into.
pub const MAX_OVERLAP: i64 = 1440;
/// The most slices of a window: a pane merges all of them.
pub const MAX_SLICES: i64 = 100_000;

impl Window {
    /// Whether two windows have a millisecond in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl WindowKind {
    /// No window of one event is longer. A session may be, but each of its events keeps it open for its gap only.
    pub fn longest(&self) -> Millis {
        match self {
            Self::Aligned(windows) => windows.longest(),
            Self::Sessions { gap } => *gap,
        }
    }
}

impl Windows {
    /// Sliding windows; fixed ones if both lengths are the same.
    ///
    /// # Errors
    /// See [`Sliding::try_new`].
    pub fn sliding(size: Millis, period: Millis) -> Result<Self, WindowError> {
        Sliding::try_new(size, period).map(Self::Sliding)
    }

    /// No window is longer.
    pub fn longest(&self) -> Millis {
        match self {
            Self::Sliding(sliding) => sliding.size(),
            Self::Calendar(calendar) => calendar.longest(),
        }
    }

    /// No window is shorter.
    pub fn shortest(&self) -> Millis {
        match self {
            Self::Sliding(sliding) => sliding.size(),
            Self::Calendar(calendar) => calendar.shortest(),
        }
    }

    /// The most time from the start of one window to that of the next.
    pub fn period(&self) -> Millis {
        match self {
            Self::Sliding(sliding) => sliding.period(),
            Self::Calendar(calendar) => calendar.longest(),
        }
    }

    /// The most slices of a window.
    pub fn slices(&self) -> i64 {
        match self {
            Self::Sliding(sliding) => sliding.size().0 / sliding.slice().0,
            Self::Calendar(_) => 1,
        }
    }

    /// The slice that holds a time. Any two times in it are in the same windows.
    #[inline]
    pub fn slice_of(&self, time: EventTime) -> Window {
        match self {
            Self::Sliding(sliding) => sliding.slice_of(time),
            Self::Calendar(calendar) => calendar.holding(time),
        }
    }

    /// The window that begins at `start`, which is the start of one.
    pub fn at(&self, start: EventTime) -> Window {
        match self {
            Self::Sliding(sliding) => sliding.at(start),
            Self::Calendar(calendar) => calendar.holding(start),
        }
    }

    /// The last window that begins at or before a time.
    pub fn last(&self, time: EventTime) -> Window {
        match self {
            Self::Sliding(sliding) => sliding.at(sliding.last_start(time)),
            Self::Calendar(calendar) => calendar.holding(time),
        }
    }

    /// The window after one.
    pub fn next(&self, window: Window) -> Window {
        match self {
            Self::Sliding(sliding) => sliding.at(window.start + sliding.period()),
            Self::Calendar(calendar) => calendar.holding(window.end),
        }
    }

    /// The first window that ends after a time.
    pub fn first_ending_after(&self, time: EventTime) -> Window {
        match self {
            // The smallest start with start + size > time.
            Self::Sliding(sliding) => {
                sliding.at(sliding.last_start(time - sliding.size()) + sliding.period())
            }
            Self::Calendar(calendar) => calendar.holding(time),
        }
    }

    /// The windows that hold a time, the earliest first. None where the period is longer than the size and the time is
    /// between two windows.
    pub fn holding(&self, time: EventTime) -> impl Iterator<Item = Window> + use<> {
        let (last, count, period) = match self {
            Self::Sliding(sliding) => (self.last(time), sliding.overlap(time), sliding.period().0),
            Self::Calendar(calendar) => (calendar.holding(time), 1, 0),
        };
        let back = move |time: EventTime, k: i64| EventTime(time.0 - k * period);
        (0..count).rev().map(move |k| Window { start: back(last.start, k), end: back(last.end, k) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(size: i64, period: i64) -> Windows {
        Windows::sliding(Millis(size), Millis(period)).expect("lengths are positive")
    }

    fn starts(size: i64, period: i64, time: i64) -> Vec<i64> {
        windows(size, period).holding(EventTime(time)).map(|window| window.start.0).collect()
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
            let windows = windows(size, period);
            let naive: Vec<i64> = (-6000..=5000)
                .filter(|start: &i64| start.rem_euclid(period) == 0 && *start <= time && time < start + size)
                .collect();
            prop_assert_eq!(starts(size, period, time), naive);
            let slice = windows.slice_of(EventTime(time));
            prop_assert!(slice.start.0 <= time && time < slice.end.0);
            for window in windows.holding(EventTime(time)) {
                prop_assert!(window.start <= slice.start && slice.end <= window.end, "no window cuts a slice");
            }
            let first = (-6000_i64..).find(|start| start.rem_euclid(period) == 0 && start + size > time);
            prop_assert_eq!(Some(windows.first_ending_after(EventTime(time)).start.0), first);
        }
    }
}
