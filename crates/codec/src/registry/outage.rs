//! Detects the beginning and the end of an outage of the registry, so that each is logged once, however many schemas are
//! waited for and however often they are asked for.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many fetches fail at the moment, and since when there are any.
#[derive(Default)]
pub(crate) struct Outage {
    failing: Mutex<(usize, Option<Instant>)>,
}

/// One fetch. When it ends, it no longer fails.
pub(crate) struct Attempt<'a> {
    outage: &'a Outage,
    fails: bool,
}

impl Outage {
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt { outage: self, fails: false }
    }
}

impl Attempt<'_> {
    /// The fetch failed. Returns whether this begins an outage.
    pub(crate) fn failed(&mut self) -> bool {
        if std::mem::replace(&mut self.fails, true) {
            return false;
        }
        let mut failing = self.outage.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.0 += 1;
        if failing.1.is_some() {
            return false;
        }
        failing.1 = Some(Instant::now());
        true
    }

    /// The fetch succeeded. Returns the length of the outage that this ends: no other fetch fails.
    pub(crate) fn worked(mut self) -> Option<Duration> {
        self.end().map(|since| since.elapsed())
    }

    fn end(&mut self) -> Option<Instant> {
        if !std::mem::replace(&mut self.fails, false) {
            return None;
        }
        let mut failing = self.outage.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.0 -= 1;
        if failing.0 == 0 { failing.1.take() } else { None }
    }
}

impl Drop for Attempt<'_> {
    /// A fetch that is given up is no reason to believe in an outage.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let outage = Outage::default();
        let (mut first, mut second) = (outage.attempt(), outage.attempt());
        assert!(first.failed());
        assert!(!first.failed());
        assert!(!second.failed());
        // Another schema arrives at the first attempt: these two still wait.
        assert!(outage.attempt().worked().is_none());
        assert!(first.worked().is_none());
        assert!(second.worked().is_some());
        assert!(outage.attempt().failed());
    }

    #[test]
    fn what_is_given_up_does_not_prolong_it() {
        let outage = Outage::default();
        let mut given_up = outage.attempt();
        assert!(given_up.failed());
        drop(given_up);
        assert!(outage.attempt().failed());
    }
}
