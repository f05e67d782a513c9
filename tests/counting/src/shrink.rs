//! Minimises a failing case: removes everything without which it still fails.

use std::ops::Range;

use crate::{
    case::{Case, Content, Step},
    check::{Finding, check},
    settings::{Flow, Window},
};

/// Maximum number of checks.
const ATTEMPTS: usize = 4_000;

/// A smaller case that also fails, perhaps differently.
pub fn shrink(finding: Finding) -> Finding {
    let mut shrinking = Shrinking { best: finding, attempts: ATTEMPTS };
    while shrinking.pass() && shrinking.attempts > 0 {}
    shrinking.best
}

struct Shrinking {
    best: Finding,
    attempts: usize,
}

/// Simplifies a case; `false` if there is nothing to simplify.
type Simplify = fn(&mut Case) -> bool;

const SIMPLER: [Simplify; 15] = [
    |case| !std::mem::take(&mut case.steps).is_empty(),
    |case| std::mem::take(&mut case.batched),
    |case| !std::mem::take(&mut case.settings.events.topics).is_empty(),
    |case| case.settings.events.id.take().is_some(),
    without_last_edition,
    |case| flows(case, |flow| flow.early.take().is_some()),
    |case| flows(case, |flow| flow.join.take().is_some()),
    |case| flows(case, |flow| flow.events.take().is_some()),
    |case| flows(case, |flow| !flow.measures.is_empty() && flow.join.is_none() && flow.ctr.take().is_some()),
    |case| flows(case, |flow| !std::mem::take(&mut flow.ratios).is_empty()),
    |case| flows(case, |flow| flow.ctr.is_some() && flow.measures.pop().is_some()),
    |case| flows(case, |flow| flow.measures.len() > 1 && flow.measures.pop().is_some()),
    |case| {
        flows(case, |flow| match &mut flow.window {
            Window::Sliding(size, period) => std::mem::replace(period, *size) != *size,
            Window::Session(_) | Window::Calendar(..) => false,
        })
    },
    |case| flows(case, |flow| std::mem::take(&mut flow.out_of_orderness) != 0),
    |case| case.records.iter_mut().filter_map(|record| record.kafka_time.take()).count() > 0,
];

/// Changes the flows in all their editions.
fn flows(case: &mut Case, change: fn(&mut Flow) -> bool) -> bool {
    let editions = case.settings.editions.iter_mut().flatten();
    editions.fold(false, |is_changed, flow| is_changed | change(flow))
}

/// Removes the last edition; restarts use the one before.
fn without_last_edition(case: &mut Case) -> bool {
    let last = case.settings.editions.len() - 1;
    if last == 0 {
        return false;
    }
    case.settings.editions.pop();
    for step in &mut case.steps {
        if let Step::Crash(edition) = step {
            *edition = (*edition).min(last - 1);
        }
    }
    true
}

impl Shrinking {
    /// Tries everything once; returns whether anything became smaller.
    fn pass(&mut self) -> bool {
        let mut is_smaller = false;
        for simplify in SIMPLER {
            is_smaller |= self.accepts(simplify);
        }
        is_smaller |= self.accepts(without_last_partition);
        is_smaller |= self.chunks(
            |case| case.settings.flows().len(),
            |case, range| {
                // Without a flow there is nothing to compare.
                if range.len() < case.settings.flows().len() {
                    for flows in &mut case.settings.editions {
                        flows.drain(range.clone());
                    }
                }
            },
        );
        is_smaller |= self.chunks(
            |case| case.records.len(),
            |case, range| {
                let numbers: Vec<u32> = case.records[range].iter().map(|record| record.number).collect();
                case.remove(&numbers);
            },
        );
        is_smaller |= self.chunks(
            |case| case.steps.len(),
            |case, range| {
                case.steps.drain(range);
            },
        );
        is_smaller | self.members()
    }

    /// Removes first half of a list, and finally single elements.
    fn chunks(&mut self, length: fn(&Case) -> usize, without: fn(&mut Case, Range<usize>)) -> bool {
        let mut is_smaller = false;
        let mut size = length(&self.best.case).div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < length(&self.best.case) {
                let change = |case: &mut Case| {
                    let before = length(case);
                    without(case, at..(at + size).min(before));
                    length(case) < before
                };
                if self.accepts(change) {
                    is_smaller = true;
                } else {
                    at += size;
                }
            }
            if size == 1 {
                return is_smaller;
            }
            size = size.div_ceil(2);
        }
    }

    /// Removes members of events.
    fn members(&mut self) -> bool {
        let mut is_smaller = false;
        for record in 0..self.best.case.records.len() {
            let mut member = 0;
            while self.has_member(record, member) {
                let change = |case: &mut Case| {
                    let Some(Content::Object(members)) = content(case, record) else { return false };
                    members.remove(member);
                    true
                };
                if self.accepts(change) {
                    is_smaller = true;
                } else {
                    member += 1;
                }
            }
        }
        is_smaller
    }

    fn has_member(&self, record: usize, member: usize) -> bool {
        let content = self.best.case.records.get(record).map(|record| &record.content);
        matches!(content, Some(Content::Object(members)) if member < members.len())
    }

    /// Keeps a changed case if it also fails.
    fn accepts(&mut self, change: impl FnOnce(&mut Case) -> bool) -> bool {
        let mut case = self.best.case.clone();
        if self.attempts == 0 || !change(&mut case) {
            return false;
        }
        self.attempts -= 1;
        let Some(finding) = check(&case) else { return false };
        self.best = finding;
        true
    }
}

fn content(case: &mut Case, record: usize) -> Option<&mut Content> {
    case.records.get_mut(record).map(|record| &mut record.content)
}

/// Removes the last partition if it has no records, and its topic if it has no other.
fn without_last_partition(case: &mut Case) -> bool {
    let last = case.settings.partitions().len() - 1;
    if last == 0 || case.records.iter().any(|record| record.partition == last) {
        return false;
    }
    if let Some((_, count)) = case.settings.topics.last_mut() {
        *count -= 1;
    }
    case.settings.topics.retain(|(_, count)| *count > 0);
    true
}
