//! Decides whether to rejoin when another member joins the group with our `group.instance.id`.
//!
//! A static member can fence itself: if the response to its join is lost with a broker, it joins again, and the broker
//! treats that as a second member with the same name. A session that expired while the process was frozen has the same
//! effect. Rejoining repairs both. It does not repair two replicas with one name: each would fence the other forever,
//! so the one that is fenced a second time ends. See [`crate::run`] for joining.

use std::time::{Duration, Instant};

/// A second time within this period is not an accident.
const ACCIDENTS_APART: Duration = Duration::from_secs(600);

/// When the name was last taken.
#[derive(Debug, Default)]
pub(crate) struct Fencing {
    last: Option<Instant>,
}

impl Fencing {
    /// The name was taken at `now`. Returns whether to rejoin.
    pub(crate) fn may_rejoin(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) > ACCIDENTS_APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_fencing_is_final() {
        let start = Instant::now();
        let mut fencing = Fencing::default();
        let mut taken_at = |seconds| fencing.may_rejoin(start + Duration::from_secs(seconds));
        assert!(taken_at(0));
        assert!(!taken_at(600));
        assert!(!taken_at(1_200), "the last time counts");
        assert!(taken_at(1_801));
    }
}
