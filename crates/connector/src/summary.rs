//! The totals of one run of a connector.

use std::{collections::BTreeMap, fmt};

/// Totals since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Data messages that Pub/Sub acknowledged.
    pub published: u64,
    /// Records that the filter excluded.
    pub filtered: u64,
    /// Rejected records, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Offsets without a record, by reason: `empty`, `before`, `lost`.
    pub absent: BTreeMap<&'static str, u64>,
    /// Encoded bytes of the data messages.
    pub bytes: u64,
    /// Marks that Pub/Sub acknowledged.
    pub marks: u64,
    /// Committed offsets, one for each partition and commit.
    pub commits: u64,
    /// Whether Pub/Sub was unavailable at the end.
    pub in_outage: bool,
}

impl Summary {
    /// Offsets that retention deleted before they were read.
    pub fn lost(&self) -> u64 {
        self.absent.get("lost").copied().unwrap_or(0)
    }

    /// The three most frequent reasons of rejects with their counts, and the count of all others.
    pub fn reasons(&self) -> String {
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_unstable_by_key(|(code, count)| (std::cmp::Reverse(**count), **code));
        let (most, others) = reasons.split_at(reasons.len().min(3));
        let mut texts: Vec<_> = most.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let others: u64 = others.iter().map(|(_, count)| **count).sum();
        if others > 0 {
            texts.push(format!("others {others}"));
        }
        texts.join(", ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rejected: u64 = self.rejected.values().sum();
        write!(f, "{} records read, {} published, {rejected} rejected", self.records, self.published)?;
        if rejected > 0 {
            write!(f, " ({})", self.reasons())?;
        }
        if self.filtered > 0 {
            write!(f, ", {} filtered", self.filtered)?;
        }
        for (reason, offsets) in &self.absent {
            write!(f, ", {offsets} offsets {reason}")?;
        }
        Ok(())
    }
}
