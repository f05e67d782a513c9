//! The outcome of every Kafka offset, for one flow.

use serde::{Deserialize, Serialize};

/// The outcome of one offset in one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Counted in at least one window.
    Counted,
    /// Its event ID was seen before.
    Duplicate,
    /// Too late for all of its windows.
    Late,
    /// Rejected by the connector or the processor.
    Rejected,
    /// Fed no measure, or was between two windows.
    Ignored,
    /// A click without a view.
    Unmatched,
    /// Deleted by retention, or given up as a hole until it arrives.
    Lost,
    /// Never an event: control records, compacted gaps, offsets before the start of the group.
    Absent,
    /// Received and waiting: a click for its view.
    Pending,
    /// Not published, because the filter of the connector excludes it. After the others, whose order checkpoints have.
    Filtered,
}

/// Counts of outcomes. Their sum is the number of offsets accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger([u64; 10]);

/// More offsets were to leave an outcome than it has. This is a bug, and the ledger is wrong from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot move {offsets} offsets from {} to {}: only {held} are available", .from.as_str(), .to.as_str())]
pub struct Imbalance {
    /// The outcome that the offsets should have had.
    pub from: Outcome,
    /// The outcome that they were to get.
    pub to: Outcome,
    /// The number of offsets to move.
    pub offsets: u64,
    /// The number of offsets that had the outcome.
    pub held: u64,
}

impl Outcome {
    /// All outcomes, in the order of their columns.
    pub const ALL: [Self; 10] = [
        Self::Counted,
        Self::Duplicate,
        Self::Late,
        Self::Rejected,
        Self::Ignored,
        Self::Unmatched,
        Self::Lost,
        Self::Absent,
        Self::Pending,
        Self::Filtered,
    ];

    /// The name of the column and the label of the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Rejected => "rejected",
            Self::Ignored => "ignored",
            Self::Unmatched => "unmatched",
            Self::Lost => "lost",
            Self::Absent => "absent",
            Self::Pending => "pending",
            Self::Filtered => "filtered",
        }
    }
}

/// The counts of the first nine outcomes, which are all that releases before 0.2 knew.
impl From<[u64; 9]> for Ledger {
    fn from(counts: [u64; 9]) -> Self {
        let mut ledger = Self::default();
        ledger.0[..9].copy_from_slice(&counts);
        ledger
    }
}

impl Ledger {
    /// Counts offsets.
    pub fn add(&mut self, outcome: Outcome, offsets: u64) {
        self.0[outcome as usize] += offsets;
    }

    /// Moves offsets from one outcome to another: a pending click whose view arrived, or a lost record that arrived.
    /// The sum stays the same.
    ///
    /// # Errors
    /// If fewer offsets have the first outcome; nothing is moved then.
    pub fn shift(&mut self, from: Outcome, to: Outcome, offsets: u64) -> Result<(), Imbalance> {
        let held = self.get(from);
        let left = held.checked_sub(offsets).ok_or(Imbalance { from, to, offsets, held })?;
        self.0[from as usize] = left;
        self.0[to as usize] += offsets;
        Ok(())
    }

    /// The number of offsets with this outcome.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Every outcome with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.iter().map(|&outcome| (outcome, self.get(outcome)))
    }

    /// The number of offsets that are accounted for.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbalanced_move_is_an_error() {
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Pending, 2);
        assert_eq!(ledger.shift(Outcome::Pending, Outcome::Counted, 2), Ok(()));
        let before = ledger;
        let (from, to) = (Outcome::Pending, Outcome::Unmatched);
        assert_eq!(ledger.shift(from, to, 1), Err(Imbalance { from, to, offsets: 1, held: 0 }));
        assert_eq!(ledger, before);
    }
}
