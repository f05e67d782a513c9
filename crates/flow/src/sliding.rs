//! Windows of one length that begin every period; fixed windows have both the same.

use std::num::NonZeroI64;

use event::{EventTime, Millis};

use crate::window::{MAX_OVERLAP, MAX_SLICES, Window, WindowError};

/// Fixed and sliding windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size: NonZeroI64,
    period: NonZeroI64,
    slice: NonZeroI64,
}

impl Sliding {
    /// Windows of `size` that begin every `period`.
    ///
    /// # Errors
    /// When a length is 0, an event would fall into more than [`MAX_OVERLAP`] windows, or a window would consist of more than
    /// [`MAX_SLICES`] slices.
    pub fn try_new(size: Millis, period: Millis) -> Result<Self, WindowError> {
        let (Some(size), Some(period)) = (NonZeroI64::new(size.0.max(0)), NonZeroI64::new(period.0.max(0)))
        else {
            return Err(WindowError::Empty);
        };
        if size.get() / period.get() > MAX_OVERLAP {
            return Err(WindowError::TooMany);
        }
        let slice = gcd(size, period);
        let slices = size.get() / slice.get();
        if slices > MAX_SLICES {
            return Err(WindowError::TooFine(slices));
        }
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

    pub(crate) fn slice_of(&self, time: EventTime) -> Window {
        let start = EventTime(time.0 - time.0.rem_euclid(self.slice.get()));
        Window { start, end: start + self.slice() }
    }

    pub(crate) fn at(&self, start: EventTime) -> Window {
        Window { start, end: start + self.size() }
    }

    pub(crate) fn last_start(&self, time: EventTime) -> EventTime {
        EventTime(time.0 - time.0.rem_euclid(self.period.get()))
    }

    /// The number of windows that hold a time; none where it is between two windows.
    pub(crate) fn overlap(&self, time: EventTime) -> i64 {
        let (size, period) = (self.size.get(), self.period.get());
        // Smallest k with last - k * period > time - size.
        (self.last_start(time).0 - (time.0 - size) + period - 1).div_euclid(period).max(0)
    }
}

/// Euclid's greatest common divisor.
fn gcd(a: NonZeroI64, b: NonZeroI64) -> NonZeroI64 {
    NonZeroI64::new(a.get() % b.get()).map_or(b, |rest| gcd(b, rest))
}
