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
    pub fn mark(&mut self, published: EventTime, now: EventTime) {
        self.first_seen(published, now);
        if published + FEW_SECONDS >= now {
            self.last_mark = self.last_mark.max(now);
        }
    }

    /// Whether nothing old came for a few seconds while marks did.
    pub fn is(&self, now: EventTime) -> bool {
        now >= self.last_old + FEW_SECONDS && now <= self.last_mark + FEW_SECONDS
    }
}
