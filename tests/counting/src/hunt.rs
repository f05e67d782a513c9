//! Checks consecutive seeds in several threads.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use crate::{Case, Finding, check};

/// The seeds and the limits.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The first seed.
    pub first: u64,
    /// Maximum number of seeds.
    pub cases: u64,
    /// Deadline for the start of a case.
    pub until: Option<Instant>,
    /// Number of parallel cases.
    pub threads: usize,
    /// Whether to count findings instead of stopping at the first.
    pub counts: bool,
}

/// The number of cases, the number of findings, and the finding with the lowest seed.
pub fn hunt(hunt: &Hunt) -> (u64, u64, Option<Finding>) {
    let (next, checked, found) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    let lowest: Mutex<Option<Finding>> = Mutex::new(None);
    let work = || {
        while !is_over.load(Ordering::Relaxed) && hunt.until.is_none_or(|until| Instant::now() < until) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= hunt.cases {
                return;
            }
            let finding = check(&Case::generate(hunt.first + number));
            checked.fetch_add(1, Ordering::Relaxed);
            let Some(finding) = finding else { continue };
            found.fetch_add(1, Ordering::Relaxed);
            is_over.fetch_or(!hunt.counts, Ordering::Relaxed);
            let mut lowest = lowest.lock().unwrap_or_else(PoisonError::into_inner);
            if lowest.as_ref().is_none_or(|known| finding.case.seed() < known.case.seed()) {
                *lowest = Some(finding);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..hunt.threads.max(1) {
            scope.spawn(work);
        }
    });
    let lowest = lowest.into_inner().unwrap_or_else(PoisonError::into_inner);
    (checked.into_inner(), found.into_inner(), lowest)
}
