//! Estimates how long the processor needs to catch up with a backlog.
//!
//! Pub/Sub does not report the size of a backlog, but marks report the end of each log. The offsets that are missing
//! below these ends, and how fast their number falls, give the remaining time. Without recent marks (the connector is
//! down) the watermark is the fallback: its distance from the clock, and its speed. It is less accurate, because the
//! slowest delivery holds it back and then it jumps.

use event::{EventTime, Millis};
use tracing::{info, warn};

/// Tracks a backlog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// The observation at the last report.
    last: Option<Spoken>,
    /// When the backlog was first reported.
    since: Option<EventTime>,
}

#[derive(Clone, Copy, Debug)]
struct Spoken {
    at: EventTime,
    behind: Millis,
    missing: Option<u64>,
    /// The time until the next report.
    pause: Millis,
}

/// A report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News {
    /// A backlog is being read.
    CatchingUp {
        /// How far the watermark is behind the one it would have without a backlog.
        behind: Millis,
        /// Seconds of event time processed in one second.
        speed: f64,
        /// The remaining time; `None` if the backlog grows.
        remaining: Option<Millis>,
    },
    /// The backlog has been processed.
    CaughtUp {
        /// The time since the first report.
        took: Millis,
    },
}

/// A shorter delay does not count as a backlog.
const BACKLOG: Millis = Millis(60_000);
/// The first estimate follows after this time; each further interval is twice as long ...
const FIRST: Millis = Millis(10_000);
/// ... up to this one.
const LONGEST: Millis = Millis(60_000);

impl Pace {
    /// Returns a report if one is due. `behind` is how far the slowest watermark is behind the clock, beyond its normal
    /// delay; `None` if no watermark is known. `missing` is the number of offsets in all logs that are not accounted
    /// for; `None` if that is not known at present.
    pub fn look(&mut self, behind: Option<Millis>, missing: Option<u64>, now: EventTime) -> Option<News> {
        let behind = behind?;
        let seen = |pause| Spoken { at: now, behind, missing, pause };
        let Some(last) = self.last else {
            if behind > BACKLOG {
                self.last = Some(seen(FIRST));
            }
            return None;
        };
        if behind <= BACKLOG {
            let since = self.since.take();
            self.last = None;
            return since.map(|since| News::CaughtUp { took: Millis(now.0 - since.0) });
        }
        if self.since.is_none() && last.missing.is_none() && missing.is_some() {
            // Marks have arrived, so the estimate starts again from the better measurement.
            self.last = Some(seen(FIRST));
            return None;
        }
        if now < last.at + last.pause {
            return None;
        }
        self.since.get_or_insert(last.at);
        let seen = seen(Millis(last.pause.0 * 2).min(LONGEST));
        self.last = Some(seen);
        let remaining = last.until_nothing_remains(&seen);
        // While the remaining time passes, the watermark moves by that time and by its present delay.
        let speed = match remaining {
            Some(remaining) => 1.0 + behind.0 as f64 / remaining.0.max(1) as f64,
            None => last.speed_of_watermark(&seen).min(1.0),
        };
        Some(News::CatchingUp { behind, speed, remaining })
    }
}

impl Spoken {
    fn until_nothing_remains(&self, later: &Self) -> Option<Millis> {
        match (self.missing, later.missing) {
            (Some(then), Some(missing)) if missing > 0 => {
                time(missing as f64, then as f64 - missing as f64, later.at.0 - self.at.0)
            }
            _ => {
                let gained = self.behind.0 - later.behind.0;
                time(later.behind.0 as f64, gained as f64, later.at.0 - self.at.0)
            }
        }
    }

    /// The watermark moved by the time that passed and by the reduction of its delay.
    fn speed_of_watermark(&self, later: &Self) -> f64 {
        1.0 + (self.behind.0 - later.behind.0) as f64 / (later.at.0 - self.at.0).max(1) as f64
    }
}

/// The time for what is left at the recent pace; `None` if nothing was gained.
fn time(left: f64, gained: f64, passed: i64) -> Option<Millis> {
    (gained > 0.0).then(|| Millis((left / gained * passed as f64) as i64))
}

impl News {
    /// Logs the report.
    pub fn log(&self) {
        match self {
            Self::CatchingUp { behind, speed, remaining: Some(remaining) } => info!(
                behind = %seconds(*behind), speed = format!("{speed:.0}x"), remaining = %seconds(*remaining),
                "catching up with a backlog"
            ),
            Self::CatchingUp { behind, speed, remaining: None } => warn!(
                behind = %seconds(*behind),
                speed = format!("{speed:.2}x"),
                action = "find the partition that holds back the watermark with `aqueduct status`; if none is stalled, give the processor more CPU",
                "falling behind: events arrive faster than they are processed, or a partition is stalled"
            ),
            Self::CaughtUp { took } => {
                info!(took = %seconds(*took), "caught up with the backlog");
            }
        }
    }
}

fn seconds(time: Millis) -> Millis {
    Millis(time.0 / 1_000 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> EventTime {
        EventTime(1_760_000_000_000 + n * 1_000)
    }

    const TWENTY_HOURS: i64 = 72_000;

    /// Looks once a second while a backlog of twenty hours shrinks. Returns the reports with their times.
    fn said(shrinks: impl Fn(i64) -> i64, missing: impl Fn(i64) -> Option<u64>) -> Vec<(i64, News)> {
        let mut pace = Pace::default();
        let look = |n| {
            let behind = Millis((TWENTY_HOURS - shrinks(n)).max(0) * 1_000);
            pace.look(Some(behind), missing(n), second(n)).map(|news| (n, news))
        };
        (0..400).filter_map(look).collect()
    }

    #[test]
    fn a_backlog_is_announced_and_its_end_is_told() {
        let said = said(|n| n * 200, |_| None);
        let times: Vec<i64> = said.iter().map(|(n, _)| *n).collect();
        assert_eq!(times, [10, 30, 70, 130, 190, 250, 310, 360]);
        let expected =
            News::CatchingUp { behind: Millis(70_000_000), speed: 201.0, remaining: Some(Millis(350_000)) };
        assert_eq!(said[0].1, expected);
        assert_eq!(said.last().map(|(_, news)| *news), Some(News::CaughtUp { took: Millis(360_000) }));
    }

    #[test]
    fn a_backlog_that_grows_has_no_end() {
        for (n, news) in said(|n| -n / 2, |_| None) {
            assert!(matches!(news, News::CatchingUp { remaining: None, .. }), "{n}: {news:?}");
        }
    }

    /// The slowest delivery holds the watermark back for twenty seconds; missing offsets give a better estimate once
    /// marks arrive.
    #[test]
    fn what_is_missing_is_a_better_judge_than_a_watermark_that_is_held() {
        let held = |n: i64| (n - 20).max(0) * 200;
        let missing = |n: i64| (n >= 3).then(|| 36_000_000_u64.saturating_sub(n.unsigned_abs() * 100_000));
        let (n, first) = said(held, missing)[0];
        assert_eq!(n, 13);
        let remaining = Some(Millis(347_000));
        assert!(
            matches!(first, News::CatchingUp { remaining: estimate, .. } if estimate == remaining),
            "{first:?}"
        );
        let (_, first) = said(held, |_| None)[0];
        assert!(matches!(first, News::CatchingUp { remaining: None, .. }), "{first:?}");
    }

    /// The others are counted as they arrive, but one partition is stalled, so nothing is gained.
    #[test]
    fn a_partition_that_stands_still_has_no_end() {
        for (n, news) in said(|n| -n, |_| Some(1_000)) {
            let expected =
                News::CatchingUp { behind: Millis((TWENTY_HOURS + n) * 1_000), speed: 0.0, remaining: None };
            assert_eq!(news, expected);
        }
    }

    #[test]
    fn without_a_backlog_nothing_is_said() {
        let mut pace = Pace::default();
        for n in 0..100 {
            assert_eq!(pace.look(Some(Millis(4_000)), Some(0), second(n)), None);
        }
        assert_eq!(pace.look(None, None, second(100)), None);
    }
}
