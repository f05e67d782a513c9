//! The totals of one run of a connector.

use std::{collections::BTreeMap, fmt};

/// Totals since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Data messages that Pub/Sub acknowledged.
    pub published: u64,
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

    /// The most frequent reasons of rejects, for humans.
    pub fn reasons(&self) -> String {
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_unstable_by_key(|(code, count)| (std::cmp::Reverse(**count), **code));
        let texts: Vec<_> = reasons.iter().take(3).map(|(code, count)| format!("{code} {count}")).collect();
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
        for (reason, offsets) in &self.absent {
            write!(f, ", {offsets} offsets {reason}")?;
        }
        Ok(())
    }
}
