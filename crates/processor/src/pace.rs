//! How long until new events are served again, while the processor gets through a backlog.
//!
//! Judged by the watermark alone, as nobody can ask Pub/Sub what is still to come: how far it is behind, and how fast it
//! moved since the last look. Not here: what a flow's watermark is.

use event::{EventTime, Millis};
use tracing::{info, warn};

/// Watches how far the watermark is behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When it was last spoken of, how far behind the watermark was then, and how long nothing is said again.
    last: Option<(EventTime, Millis, Millis)>,
    /// Since when it has been spoken of.
    since: Option<EventTime>,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News {
    /// A backlog is being read.
    CatchingUp {
        /// How far the watermark is behind what it would be without a backlog.
        behind: Millis,
        /// Seconds of events a second.
        speed: f64,
        /// Until new events are served; nothing where the backlog grows.
        remaining: Option<Millis>,
    },
    /// New events are served again.
    CaughtUp {
        /// How long that took since it was first spoken of.
        took: Millis,
    },
}

/// Less than that is no backlog.
const BACKLOG: Millis = Millis(60_000);
/// The first estimate comes after that long, the next ones at twice the distance each ...
const FIRST: Millis = Millis(10_000);
/// ... but not further apart than that.
const LONGEST: Millis = Millis(60_000);

impl Pace {
    /// `behind`: how far the slowest watermark is behind the clock, less what it may always be; nothing while no watermark
    /// is known.
    pub fn look(&mut self, behind: Option<Millis>, now: EventTime) -> Option<News> {
        let behind = behind?;
        let Some((spoken, then, pause)) = self.last else {
            if behind > BACKLOG {
                self.last = Some((now, behind, FIRST));
            }
            return None;
        };
        if behind <= BACKLOG {
            let since = self.since.take();
            self.last = None;
            return since.map(|since| News::CaughtUp { took: Millis(now.0 - since.0) });
        }
        let passed = Millis(now.0 - spoken.0);
        if passed < pause {
            return None;
        }
        self.since.get_or_insert(spoken);
        self.last = Some((now, behind, Millis(pause.0 * 2).min(LONGEST)));
        // The watermark moved by what passed, and by what it came closer.
        let gained = (then.0 - behind.0) as f64 / passed.0.max(1) as f64;
        let remaining = (gained > 0.0).then(|| Millis((behind.0 as f64 / gained) as i64));
        Some(News::CatchingUp { behind, speed: 1.0 + gained, remaining })
    }
}

impl News {
    /// Says it.
    pub fn tell(&self) {
        match self {
            Self::CatchingUp { behind, speed, remaining: Some(remaining) } => info!(
                behind = %seconds(*behind), speed = format!("{speed:.0}x"), remaining = %seconds(*remaining),
                "catching up with a backlog; new events are served when nothing remains"
            ),
            Self::CatchingUp { behind, speed, remaining: None } => warn!(
                behind = %seconds(*behind),
                speed = format!("{speed:.2}x"),
                action = "`aqueduct status` names the partition that holds the watermark; if none stands still, give the processor more",
                "falling behind: events come faster than they are counted, or one partition stands still"
            ),
            Self::CaughtUp { took } => {
                info!(took = %seconds(*took), "caught up: new events are served again");
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

    /// Looks once a second while the backlog of twenty hours shrinks; what was said, and when.
    fn said(shrinks: impl Fn(i64) -> i64) -> Vec<(i64, News)> {
        let mut pace = Pace::default();
        let look = |n| {
            pace.look(Some(Millis((72_000 - shrinks(n)).max(0) * 1_000)), second(n)).map(|news| (n, news))
        };
        (0..400).filter_map(look).collect()
    }

    #[test]
    fn a_backlog_is_announced_and_its_end_is_told() {
        let said = said(|n| n * 200);
        let times: Vec<i64> = said.iter().map(|(n, _)| *n).collect();
        assert_eq!(times, [10, 30, 70, 130, 190, 250, 310, 360]);
        let expected =
            News::CatchingUp { behind: Millis(70_000_000), speed: 201.0, remaining: Some(Millis(350_000)) };
        assert_eq!(said[0].1, expected);
        assert_eq!(said.last().map(|(_, news)| *news), Some(News::CaughtUp { took: Millis(360_000) }));
    }

    #[test]
    fn a_backlog_that_grows_has_no_end() {
        for (n, news) in said(|n| -n / 2) {
            assert!(matches!(news, News::CatchingUp { remaining: None, .. }), "{n}: {news:?}");
        }
    }

    #[test]
    fn without_a_backlog_nothing_is_said() {
        let mut pace = Pace::default();
        for n in 0..100 {
            assert_eq!(pace.look(Some(Millis(4_000)), second(n)), None);
        }
        assert_eq!(pace.look(None, second(100)), None);
    }
}
