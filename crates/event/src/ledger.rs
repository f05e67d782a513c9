//! What became of every Kafka offset, for one flow.

use serde::{Deserialize, Serialize};

/// How one offset ended in one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Counted in at least one window.
    Counted,
    /// Its event id was seen before.
    Duplicate,
    /// Too late for all its windows.
    Late,
    /// Refused by the connector or the processor.
    Rejected,
    /// Neither a view nor a click, or between two windows.
    Ignored,
    /// A click whose view never came.
    Unmatched,
    /// Taken by retention, or abandoned as a hole until it arrives.
    Lost,
    /// Never an event: control records, compacted gaps, before the group's start.
    Absent,
    /// Received and waiting: a click for its view.
    Pending,
}

/// Counts of outcomes. Their sum is the number of offsets accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger([u64; 9]);

impl Outcome {
    /// All outcomes, in the order of their columns.
    pub const ALL: [Self; 9] = [
        Self::Counted,
        Self::Duplicate,
        Self::Late,
        Self::Rejected,
        Self::Ignored,
        Self::Unmatched,
        Self::Lost,
        Self::Absent,
        Self::Pending,
    ];

    /// The column's and the metric label's word.
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
        }
    }
}

impl Ledger {
    /// Counts offsets.
    pub fn add(&mut self, outcome: Outcome, offsets: u64) {
        self.0[outcome as usize] += offsets;
    }

    /// Moves offsets from one outcome to another: a pending click that found its view, a lost record that came.
    pub fn shift(&mut self, from: Outcome, to: Outcome, offsets: u64) {
        self.0[from as usize] = self.0[from as usize].saturating_sub(offsets);
        self.0[to as usize] += offsets;
    }

    /// How many offsets ended so.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Every outcome with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.iter().map(|&outcome| (outcome, self.get(outcome)))
    }

    /// How many offsets are accounted for.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
