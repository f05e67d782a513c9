//! The rejected records as text and values: every partition, stage and reason of `dead_letters`.
//!
//! See [`crate::survey`] for the query.

use serde::Serialize;
use writer::Refusals;

use crate::grid::grid;

/// Records of one partition that one stage refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub(crate) topic: String,
    pub(crate) partition: i64,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) records: u64,
}

impl Refused {
    pub(crate) fn of(refusals: &Refusals) -> Self {
        let Refusals { topic, partition, stage, reason, rows } = refusals.clone();
        Self { topic, partition, stage, reason, records: rows }
    }
}

/// Stages and reasons with a number for each partition; nothing where nothing was refused.
pub(crate) fn text(refused: &[Refused]) -> Option<String> {
    if refused.is_empty() {
        return None;
    }
    let row = |r: &Refused| {
        let (partition, records) = (r.partition.to_string(), r.records.to_string());
        vec![r.topic.clone(), partition, r.stage.clone(), r.reason.clone(), records]
    };
    let rows: Vec<Vec<String>> = refused.iter().map(row).collect();
    Some(grid(&["topic", "partition", "stage", "reason", "records"], &rows))
}
