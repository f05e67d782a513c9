//! When views and clicks are forgotten: the values of `on` by the second in which the oldest of their views and clicks is due.

use std::collections::BTreeMap;

use event::EventTime;

const SECOND: i64 = 1_000;
/// Bytes of a value in the list of a second, which has on average a third of its places free.
const BYTES: usize = 24;

/// Values of `on` by seconds. A value may be listed more than once: its entry knows which place counts.
#[derive(Debug, Default)]
pub(super) struct Due {
    seconds: BTreeMap<i64, Vec<u128>>,
    /// Values in all lists.
    count: usize,
}

impl Due {
    pub(super) fn register(&mut self, second: i64, on: u128) {
        self.seconds.entry(second).or_default().push(on);
        self.count += 1;
    }

    /// Takes the values of the first second, if the watermark has reached it.
    pub(super) fn next(&mut self, reached: EventTime) -> Option<(i64, Vec<u128>)> {
        let first = self.seconds.first_entry().filter(|first| is_reached(*first.key(), reached))?;
        let (second, values) = first.remove_entry();
        self.count -= values.len();
        Some((second, values))
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The lists from a second on.
    pub(super) fn from(&self, second: i64) -> impl Iterator<Item = (i64, &[u128])> {
        self.seconds.range(second..).map(|(second, values)| (*second, values.as_slice()))
    }

    /// Every value with its second.
    pub(super) fn into_values(self) -> impl Iterator<Item = (i64, u128)> {
        let list = |(second, values): (i64, Vec<u128>)| values.into_iter().map(move |on| (second, on));
        self.seconds.into_iter().flat_map(list)
    }

    pub(super) fn bytes(&self) -> usize {
        self.count * BYTES
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seconds.is_empty() && self.count == 0
    }
}

/// The first whole second at or after a time.
pub(super) fn second_after(time: EventTime) -> i64 {
    time.0.div_euclid(SECOND) + i64::from(time.0.rem_euclid(SECOND) > 0)
}

/// The last whole second at or before a time; the end of time stays.
pub(super) fn whole_second(time: EventTime) -> EventTime {
    if time == EventTime::MAX { time } else { EventTime(time.0.saturating_sub(time.0.rem_euclid(SECOND))) }
}

fn is_reached(second: i64, reached: EventTime) -> bool {
    reached == EventTime::MAX || second <= reached.0.div_euclid(SECOND)
}
