//! Compares the product with the model, and every pane with the laws of panes.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use event::{CtrRow, EventTime, Pane};

use crate::{
    arrival,
    case::Case,
    model::{self, Judged, Key, Ledger, Rows},
    product::{Ran, core, ledger_of, replay},
    settings::{Flow, Kind},
};

/// A case in which the product and the model differ.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Without the events whose outcome the rules leave open.
    pub(crate) case: Case,
    pub(crate) differences: Vec<String>,
}

/// Runs a case in all ways; nothing where they agree.
pub fn check(case: &Case) -> Option<Finding> {
    let mut case = case.clone();
    let differences = run(&mut case).unwrap_or_else(|failure| vec![failure]);
    (!differences.is_empty()).then_some(Finding { case, differences })
}

/// The differences, or how the product fails.
fn run(case: &mut Case) -> Result<Vec<String>, String> {
    loop {
        let (replayed, read) = guarded("replay", || replay::run(case))?;
        let actions = arrival::expand(case);
        let of_replay = model::judge(case, &read, true, is_replayable);
        let of_core = model::judge(case, &actions, false, |_| true);
        let undecided: Vec<u32> = of_replay.undecided.iter().chain(&of_core.undecided).copied().collect();
        if !undecided.is_empty() {
            case.remove(&undecided);
            continue;
        }
        let cored = guarded("core", || core::run(case, &actions))?;
        let flows: Vec<&Flow> = case.settings.flows.iter().collect();
        let replayable: Vec<&Flow> = flows.iter().copied().filter(|flow| is_replayable(flow)).collect();
        let mut differences = compare("replay", &replayable, &replayed, &of_replay);
        differences.extend(compare("core", &flows, &cored, &of_core));
        differences.extend(order_matters(&of_replay, &of_core));
        return Ok(differences);
    }
}

fn is_replayable(flow: &Flow) -> bool {
    flow.time != Kind::Processing
}

/// The result of a run that may fail or panic.
fn guarded<T>(path: &str, run: impl FnOnce() -> anyhow::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(ran) => ran.map_err(|error| format!("{path} fails: {error:#}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            Err(format!("{path} panics: {text}"))
        }
    }
}

fn compare(path: &str, flows: &[&Flow], ran: &Ran, judged: &Judged) -> Vec<String> {
    let mut differences = Vec::new();
    for (number, (flow, (_, rows, ledger))) in flows.iter().zip(&judged.flows).enumerate() {
        let at = format!("{path}, flow {}", flow.name);
        let fired: Vec<&CtrRow> =
            ran.rows.iter().filter(|(of, _)| *of == number).map(|(_, row)| row).collect();
        differences.extend(pane_laws(flow, &fired).into_iter().map(|broken| format!("{at}, {broken}")));
        differences
            .extend(row_differences(&finals(&fired), rows).into_iter().map(|row| format!("{at}, {row}")));
        let (_, found) = &ran.ledgers[number];
        let expected: BTreeMap<&str, i64> = ledger
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(outcome, count)| (*outcome, *count))
            .collect();
        let outcomes: BTreeMap<&str, i64> =
            ledger_of(found).into_iter().map(|(outcome, count)| (outcome, count as i64)).collect();
        if outcomes != expected {
            differences.push(format!("{at}: the ledger is {outcomes:?}, must be {expected:?}"));
        }
        if found.total() != ran.offsets {
            differences.push(format!("{at}: the ledger has {} offsets of {}", found.total(), ran.offsets));
        }
    }
    let mut ticks = ran.watermarks.iter().zip(&judged.watermarks).enumerate();
    if let Some((tick, (found, expected))) = ticks.find(|(_, (found, expected))| found != expected) {
        let (found, expected) = (listed(found), listed(expected));
        differences.push(format!("{path}, tick {tick}: the watermarks are {found}, must be {expected}"));
    }
    differences
}

fn listed(times: &[i64]) -> String {
    times.iter().map(|time| EventTime(*time).to_string()).collect::<Vec<_>>().join(", ")
}

/// The last pane of each window and key.
fn finals(fired: &[&CtrRow]) -> Rows {
    let last = fired.iter().map(|row| {
        let counts = [row.ctr.views, row.ctr.clicks, row.ctr.attributed].map(|count| count as i64);
        ((row.window.start.0, key(row)), counts)
    });
    last.collect()
}

fn key(row: &CtrRow) -> Key {
    row.key.iter().map(|value| value.map(str::to_owned)).collect()
}

/// Rows that differ; a row that counts nothing is as good as none.
fn row_differences(found: &Rows, expected: &Rows) -> Vec<String> {
    let mut places: Vec<&(i64, Key)> = found.keys().chain(expected.keys()).collect();
    places.sort_unstable();
    places.dedup();
    let differs = places.into_iter().filter(|place| counts(found, place) != counts(expected, place));
    let said = differs.map(|place| {
        let (is, must) = (counts(found, place), counts(expected, place));
        let (start, key) = (EventTime(place.0), &place.1);
        format!("window {start}, key {key:?}: views, clicks, attributed are {is:?}, must be {must:?}")
    });
    said.collect()
}

fn counts(rows: &Rows, place: &(i64, Key)) -> [i64; 3] {
    rows.get(place).copied().unwrap_or_default()
}

/// What is wrong with the panes of a flow, in the order in which they fired.
fn pane_laws(flow: &Flow, fired: &[&CtrRow]) -> Vec<String> {
    let mut panes: BTreeMap<(EventTime, Key), Vec<&CtrRow>> = BTreeMap::new();
    for row in fired {
        panes.entry((row.window.start, key(row))).or_default().push(row);
    }
    let mut broken = Vec::new();
    for ((start, key), rows) in &panes {
        let mut say = |what: String| broken.push(format!("window {start}, key {key:?}: {what}"));
        let indexes: Vec<u32> = rows.iter().map(|row| row.pane_index).collect();
        if indexes.iter().zip(0..).any(|(index, n)| *index != n) {
            say(format!("the panes have the indexes {indexes:?}"));
        }
        let kinds: Vec<&str> = rows.iter().map(|row| row.pane.as_str()).collect();
        let is_in_order = rows.windows(2).all(|pair| match (pair[0].pane, pair[1].pane) {
            (Pane::Early, _) => true,
            (Pane::OnTime | Pane::Late, next) => next == Pane::Late,
        });
        if !is_in_order {
            say(format!("the panes are {kinds:?}"));
        }
        if rows.iter().any(|row| row.ctr.attributed > row.ctr.views) {
            say("more views are clicked than there are".to_owned());
        }
        if shrinks(rows, |row| row.ctr.views) {
            say("views are taken back".to_owned());
        }
        // A join takes a click back when a nearer view arrives.
        if flow.join.is_none() && shrinks(rows, |row| row.ctr.clicks) {
            say("clicks are taken back without a join".to_owned());
        }
    }
    broken
}

fn shrinks(rows: &[&CtrRow], of: fn(&CtrRow) -> u64) -> bool {
    rows.windows(2).any(|pair| of(pair[1]) < of(pair[0]))
}

/// Where nothing is late or a duplicate in either order, both must count the same.
fn order_matters(one: &Judged, other: &Judged) -> Option<String> {
    if [one, other].into_iter().any(|judged| judged.is_late || is_lossy(judged)) {
        return None;
    }
    let differs = one.flows.iter().find(|(name, rows, _)| {
        let same = other.flows.iter().find(|(other, _, _)| other == name);
        same.is_some_and(|(_, others, _)| !row_differences(rows, others).is_empty())
    });
    differs.map(|(name, _, _)| {
        format!("model, flow {name}: the order of arrival matters, though nothing is late")
    })
}

/// Whether an event was not counted because of when it arrived.
fn is_lossy(judged: &Judged) -> bool {
    let has = |ledger: &Ledger, outcome: &str| ledger.get(outcome).is_some_and(|count| *count > 0);
    judged.flows.iter().any(|(_, _, ledger)| has(ledger, "duplicate") || has(ledger, "late"))
}
