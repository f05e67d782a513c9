//! Decides whether the processor is caught up with its subscriptions, from the age of new messages and from marks.
//!
//! The frontier must not take part in this decision: a hole would hold back the very clock that ends it.

use event::{EventTime, Millis};

/// Tracks how old messages are when they first arrive.
#[derive(Clone, Copy, Debug)]
pub struct CaughtUp {
    last_old: EventTime,
    last_mark: EventTime,
}

/// A message that is older than this when it first arrives belongs to a backlog, and another one may follow for this
/// long.
const FEW_SECONDS: Millis = Millis(5_000);

impl CaughtUp {
    /// Starts as not caught up, because a backlog may follow.
    pub fn new(now: EventTime) -> Self {
        Self { last_old: now, last_mark: EventTime::MIN }
    }

    /// Records a message that arrived for the first time.
    pub fn first_seen(&mut self, published: EventTime, now: EventTime) {
        if published + FEW_SECONDS < now {
            self.last_old = self.last_old.max(now);
        }
    }

    /// Records a mark.
    ///
    /// After a silence the processor does not count as caught up: a process that was frozen may receive a current mark
    /// before the events that waited with it.
    pub fn mark(&mut self, published: EventTime, now: EventTime) {
        self.first_seen(published, now);
        if now > self.last_mark + FEW_SECONDS {
            self.last_old = self.last_old.max(now);
        }
        if published + FEW_SECONDS >= now {
            self.last_mark = self.last_mark.max(now);
        }
    }

    /// Whether no old message has arrived for a few seconds while marks have.
    pub fn is(&self, now: EventTime) -> bool {
        now >= self.last_old + FEW_SECONDS && now <= self.last_mark + FEW_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> EventTime {
        EventTime(1_000 * n)
    }

    #[test]
    fn a_mark_after_a_silence_is_no_proof() {
        let mut caught_up = CaughtUp::new(second(0));
        for n in 0..10 {
            caught_up.mark(second(n), second(n));
            assert_eq!(caught_up.is(second(n)), n >= 5, "{n}");
        }
        // The process is frozen for twenty minutes without a tick, and then receives a current mark first.
        for n in 1_200..1_210 {
            caught_up.mark(second(n), second(n));
            assert_eq!(caught_up.is(second(n)), n >= 1_205, "{n}");
        }
    }
}
