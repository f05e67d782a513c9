//! The outcomes of the records of a redrive. Pure.

use std::collections::BTreeMap;

use event::Partition;
use report::words::counted;
use serde::Serialize;

use crate::grid::grid;

/// The result of a redrive, or what it would be.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Whether nothing was published.
    pub(super) is_dry_run: bool,
    /// The number of the redrive; absent in a dry run.
    pub(super) redrive: Option<u64>,
    /// Whether an earlier run of this redrive is continued.
    pub(super) is_continued: bool,
    /// Whether it was stopped before the end.
    pub(super) is_stopped: bool,
    /// Records that were read, or that Kafka does not have.
    pub(super) records: u64,
    /// Records that pass: published, unless it is a dry run.
    pub(super) passed: u64,
    /// Records that the filter of `[pubsub]` excludes by now. They stay rejected.
    pub(super) filtered: u64,
    /// Records that are rejected again.
    pub(super) rejected: Vec<Rejected>,
    /// Records that Kafka no longer has.
    pub(super) gone: Vec<Gone>,
    /// Records of topics that were deleted or recreated.
    pub(super) gone_with_topic: u64,
    #[serde(skip)]
    by_reason: BTreeMap<(&'static str, String, Option<String>), u64>,
    #[serde(skip)]
    by_partition: BTreeMap<(String, i32), Gone>,
}

/// Records that are rejected for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rejected {
    stage: &'static str,
    reason: String,
    pointer: Option<String>,
    records: u64,
}

/// Records of a partition that retention or compaction has removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gone {
    topic: String,
    partition: i32,
    records: u64,
    first: u64,
    last: u64,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new(is_dry_run: bool) -> Self {
        Self { is_dry_run, ..Self::default() }
    }

    /// A record is rejected again.
    pub(super) fn rejected(&mut self, stage: &'static str, reason: &str, pointer: Option<String>) {
        *self.by_reason.entry((stage, reason.to_owned(), pointer)).or_default() += 1;
    }

    /// Kafka no longer has a record.
    pub(super) fn gone(&mut self, partition: &Partition, offset: u64) {
        let (topic, number) = (partition.topic.to_string(), partition.partition);
        let new =
            || Gone { topic: topic.clone(), partition: number, records: 0, first: offset, last: offset };
        let gone = self.by_partition.entry((topic.clone(), number)).or_insert_with(new);
        gone.records += 1;
        gone.last = offset;
    }

    /// Completes the lists.
    pub(super) fn finish(mut self) -> Self {
        let reasons = std::mem::take(&mut self.by_reason).into_iter();
        self.rejected = reasons
            .map(|((stage, reason, pointer), records)| Rejected { stage, reason, pointer, records })
            .collect();
        self.gone = std::mem::take(&mut self.by_partition).into_values().collect();
        self
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let rejected: u64 = self.rejected.iter().map(|rejected| rejected.records).sum();
        let gone = self.gone.iter().map(|gone| gone.records).sum::<u64>() + self.gone_with_topic;
        let passed = if self.is_dry_run { "would be published" } else { "published" };
        let lines = [
            (passed, self.passed),
            ("still rejected", rejected),
            ("excluded by pubsub.filter", self.filtered),
            ("no longer in Kafka", gone),
        ];
        let row = |(outcome, records): (&str, u64)| vec![outcome.to_owned(), records.to_string()];
        let mut text = grid(&["outcome", "records"], &lines.map(row));
        let mut section = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
            if !rows.is_empty() {
                text.push_str(&format!("\n{title}\n{}", grid(head, &rows)));
            }
        };
        section(
            "Still rejected",
            &["stage", "reason", "pointer", "records"],
            self.rejected
                .iter()
                .map(|r| {
                    let pointer = r.pointer.clone().unwrap_or_else(|| "-".to_owned());
                    vec![r.stage.to_owned(), r.reason.clone(), pointer, r.records.to_string()]
                })
                .collect(),
        );
        section(
            "No longer in Kafka",
            &["topic", "partition", "records", "first offset", "last offset"],
            self.gone
                .iter()
                .map(|g| {
                    let numbers = [
                        g.partition.to_string(),
                        g.records.to_string(),
                        g.first.to_string(),
                        g.last.to_string(),
                    ];
                    std::iter::once(g.topic.clone()).chain(numbers).collect()
                })
                .collect(),
        );
        if self.gone_with_topic > 0 {
            let records = counted(self.gone_with_topic, "record", "records");
            text.push_str(&format!("\n{records} of topics that were deleted or recreated\n"));
        }
        if self.is_stopped {
            text.push_str("\nstopped before the end; the same command continues\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_is_left_by_reason_and_partition() {
        let mut tally = Tally { redrive: Some(3), passed: 5, records: 9, ..Tally::default() };
        let partition = Partition { topic: "events".into(), incarnation: "i".into(), partition: 2 };
        for offset in [4, 7] {
            tally.gone(&partition, offset);
        }
        tally.rejected("connector", "not-json", None);
        tally.rejected("processor", "time", Some("/at".to_owned()));
        let text = tally.finish().text();
        let line =
            |words: &[&str]| text.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
        assert!(line(&["published", "5"]) && line(&["still", "rejected", "2"]), "{text}");
        assert!(
            line(&["connector", "not-json", "-", "1"]) && line(&["processor", "time", "/at", "1"]),
            "{text}"
        );
        assert!(line(&["events", "2", "2", "4", "7"]), "{text}");
    }
}
