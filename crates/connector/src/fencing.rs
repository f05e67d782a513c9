//! What to do when the broker gives our name in the group to another member.
//!
//! A static member may fence itself: when the answer to its join is lost with a broker, it joins again, and the broker
//! takes that for a second member of its name. A session that ended while the process was frozen looks the same. Both are
//! mended by joining anew. Two replicas with one name are not: each would fence the other for ever, so the one that is
//! fenced a second time ends. Not here: how fencing shows (`io::faults`), and joining ([`crate::run`]).

use std::time::{Duration, Instant};

/// A second time within this is no accident.
const ACCIDENTS_APART: Duration = Duration::from_secs(600);

/// When the name was last taken from us.
#[derive(Debug, Default)]
pub(crate) struct Fencing {
    last: Option<Instant>,
}

impl Fencing {
    /// The name was taken at `now`: whether to join again.
    pub(crate) fn may_rejoin(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) > ACCIDENTS_APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accident_is_forgiven_and_a_rival_is_not() {
        let start = Instant::now();
        let mut fencing = Fencing::default();
        let mut taken_at = |seconds| fencing.may_rejoin(start + Duration::from_secs(seconds));
        assert!(taken_at(0));
        assert!(!taken_at(600));
        assert!(!taken_at(1_200), "the last time counts");
        assert!(taken_at(1_801));
    }
}
