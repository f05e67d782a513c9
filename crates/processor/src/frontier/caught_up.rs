//! Whether the processor is caught up with its subscriptions. Never by the frontier: a hole would
//! then hold back the very clock that ends it.

use event::{EventTime, Millis};

/// Watches how old messages are when they are first seen.
#[derive(Clone, Copy, Debug)]
pub struct CaughtUp {
    last_old: EventTime,
    last_mark: EventTime,
}

/// A message older than this when first seen belongs to a backlog; and for this long after such a
/// one more may come.
const FEW_SECONDS: Millis = Millis(5_000);

impl CaughtUp {
    /// At the start nothing is known: a backlog may come.
    pub fn new(now: EventTime) -> Self {
        Self { last_old: now, last_mark: EventTime::MIN }
    }

    /// A message that was not seen before.
    pub fn first_seen(&mut self, published: EventTime, now: EventTime) {
        if published + FEW_SECONDS < now {
            self.last_old = self.last_old.max(now);
        }
    }

    /// Any mark.
    ///
    /// After a silence nothing is known either: a process that was frozen may be handed a mark of now before the events
    /// that waited with it.
    pub fn mark(&mut self, published: EventTime, now: EventTime) {
        self.first_seen(published, now);
        if now > self.last_mark + FEW_SECONDS {
            self.last_old = self.last_old.max(now);
        }
        if published + FEW_SECONDS >= now {
            self.last_mark = self.last_mark.max(now);
        }
    }

    /// Whether nothing old came for a few seconds while marks did.
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
        // Frozen for twenty minutes, without a tick; the first that is pulled is a mark of now.
        for n in 1_200..1_210 {
            caught_up.mark(second(n), second(n));
            assert_eq!(caught_up.is(second(n)), n >= 1_205, "{n}");
        }
    }
}
