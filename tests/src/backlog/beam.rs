//! What Apache Beam's own source for Pub/Sub would do with the same deliveries: how many events it would drop.
//!
//! The rule is that of Beam's Java SDK, `PubsubUnboundedSource` with `MovingFunction`, which every runner but Dataflow
//! uses: the watermark is the least time of the messages read within the last 60 seconds of processing time, in buckets
//! of 5 seconds, once these are at least 10 messages in 2 buckets; and *now*, when nothing was received for 60 seconds.
//! It never goes back, as runners hold it. An event is dropped for a window when the window's end plus the allowed
//! lateness is not behind the watermark.
//!
//! A model, not Beam itself. There is one reader; what it pulled counts as read at once; the watermark is evaluated for
//! each thousand messages, as at the end of a bundle. A reader that holds pulled messages back has a lower watermark.
//! Dataflow tracks Pub/Sub by means that are not public, and is not covered.

use std::collections::VecDeque;

/// Beam's reader with the windows of one flow.
#[derive(Clone, Debug)]
pub struct Rule {
    windows: Windows,
    read: MovingLeast,
    received: Option<i64>,
    watermark: i64,
    /// Messages since the watermark was last evaluated.
    in_bundle: u32,
    dropped: Dropped,
}

/// Sliding windows whose period divides their size; milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The size.
    pub size: i64,
    /// The period.
    pub period: i64,
    /// The allowed lateness.
    pub allowed_lateness: i64,
}

/// The events that a reader would have dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Events that were read.
    pub read: u64,
    /// Events that are too late for all their windows.
    pub everywhere: u64,
    /// Events that are too late for at least one window.
    pub somewhere: u64,
}

const BUNDLE: u32 = 1_000;
const SAMPLE_PERIOD: i64 = 60_000;
const BUCKET: i64 = 5_000;
const ENOUGH_MESSAGES: u64 = 10;
const ENOUGH_BUCKETS: usize = 2;

impl Rule {
    /// A reader that starts with the backlog.
    pub fn new(windows: Windows) -> Self {
        let read = MovingLeast::default();
        Self { windows, read, received: None, watermark: i64::MIN, in_bundle: 0, dropped: Dropped::default() }
    }

    /// A reader that was idle for a minute before the backlog arrived.
    pub fn idle_until(windows: Windows, now: i64) -> Self {
        Self { received: Some(now - SAMPLE_PERIOD - 1), watermark: now, ..Self::new(windows) }
    }

    /// Reads the event of a time.
    pub fn read(&mut self, now: i64, time: i64) {
        let starved = self.received.is_some_and(|received| now > received + SAMPLE_PERIOD);
        if starved || self.in_bundle == BUNDLE {
            self.look(now);
        }
        let Windows { size, period, allowed_lateness } = self.windows;
        let slice = time - time.rem_euclid(period);
        self.dropped.read += 1;
        self.dropped.everywhere += u64::from(slice + size + allowed_lateness <= self.watermark);
        self.dropped.somewhere += u64::from(slice + period + allowed_lateness <= self.watermark);
        self.read.add(now, time);
        self.received = Some(now);
        self.in_bundle += 1;
    }

    /// The events that would have been dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn look(&mut self, now: i64) {
        self.in_bundle = 0;
        let least = self.read.least(now);
        let estimate = match (least, self.received) {
            (None, Some(received)) if now > received + SAMPLE_PERIOD => now,
            (Some(least), _) if self.read.is_significant() => least,
            _ => return,
        };
        self.watermark = self.watermark.max(estimate);
    }
}

/// The minimum of the values that were added within the last minute.
#[derive(Clone, Debug, Default)]
struct MovingLeast {
    /// The number of a bucket, its minimum, and its count.
    buckets: VecDeque<(i64, i64, u64)>,
}

impl MovingLeast {
    fn add(&mut self, now: i64, value: i64) {
        let bucket = now.div_euclid(BUCKET);
        match self.buckets.back_mut() {
            Some((number, least, count)) if *number == bucket => {
                *least = (*least).min(value);
                *count += 1;
            }
            _ => {
                self.flush(now);
                self.buckets.push_back((bucket, value, 1));
            }
        }
    }

    fn least(&mut self, now: i64) -> Option<i64> {
        self.flush(now);
        self.buckets.iter().map(|(_, least, _)| *least).min()
    }

    fn is_significant(&self) -> bool {
        let messages: u64 = self.buckets.iter().map(|(_, _, count)| count).sum();
        self.buckets.len() >= ENOUGH_BUCKETS && messages >= ENOUGH_MESSAGES
    }

    fn flush(&mut self, now: i64) {
        let oldest = now.div_euclid(BUCKET) - SAMPLE_PERIOD / BUCKET + 1;
        while self.buckets.front().is_some_and(|(number, _, _)| *number < oldest) {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { size: 600_000, period: 60_000, allowed_lateness: 3_600_000 };
    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_760_000_040_000;

    #[test]
    fn an_idle_reader_drops_late_events() {
        let mut rule = Rule::idle_until(WINDOWS, NOW);
        // One event per minute for twenty hours, all read at once.
        for minute in (0..20 * 60).rev() {
            rule.read(NOW + 1, NOW - minute * 60_000);
        }
        // The last window of an event ends ten minutes after its minute: anything older than 60 + 10 minutes is
        // dropped.
        let kept = u64::try_from((HOUR + 600_000) / 60_000).expect("positive");
        let dropped = rule.dropped();
        assert_eq!((dropped.read, dropped.read - dropped.everywhere), (1_200, kept));
        assert!(dropped.somewhere > dropped.everywhere);
    }

    #[test]
    fn a_new_reader_follows_the_backlog() {
        let mut rule = Rule::new(WINDOWS);
        let mut now = NOW;
        for second in 0..20 * 3_600 {
            now += 2;
            rule.read(now, NOW - 20 * HOUR + second * 1_000);
        }
        assert_eq!(rule.dropped().somewhere, 0, "it is read in order");
        assert!(rule.watermark > NOW - 20 * HOUR, "the watermark followed");
        // The pull pauses for more than a minute; events that are read afterwards are late.
        rule.read(now + SAMPLE_PERIOD + 1, NOW - 2 * HOUR);
        assert_eq!(rule.watermark, now + SAMPLE_PERIOD + 1);
        assert_eq!(rule.dropped().everywhere, 1);
    }

    #[test]
    fn the_minimum_needs_ten_messages() {
        let mut least = MovingLeast::default();
        for second in 0..9 {
            least.add(NOW + second * 1_000, second);
        }
        assert!(!least.is_significant(), "nine messages");
        least.add(NOW + 9_000, 9);
        assert!(least.is_significant());
        assert_eq!(least.least(NOW + 9_000), Some(0));
        assert_eq!(least.least(NOW + 60_000), Some(5), "the first bucket is older than a minute");
        assert_eq!(least.least(NOW + 70_000), None);
    }
}
