//! The sections that `status` and `reconcile` have in common, as text.

use report::judge::Station;
use writer::Refusals;

use crate::grid::grid;

/// Every component, and whether it is stalled.
pub(crate) fn components(stations: &[Station]) -> String {
    let row = |station: &Station| {
        let health = &station.health;
        vec![station.name.to_owned(), health.level.word().to_owned(), health.reason.clone()]
    };
    grid(&["component", "state", "details"], &stations.iter().map(row).collect::<Vec<_>>())
}

/// What was rejected, by partition, stage and reason; `None` if nothing was.
pub(crate) fn rejected(refusals: &[Refusals]) -> Option<String> {
    if refusals.is_empty() {
        return None;
    }
    let row = |r: &Refusals| {
        let (partition, records) = (r.partition.to_string(), r.rows.to_string());
        vec![r.topic.clone(), partition, r.stage.clone(), r.reason.clone(), records]
    };
    let rows: Vec<Vec<String>> = refusals.iter().map(row).collect();
    Some(grid(&["topic", "partition", "stage", "reason", "records"], &rows))
}
