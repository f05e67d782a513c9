//! Compares the product with the model, and checks the laws of panes.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use event::EventTime;
use flow::row::Value;

use crate::{
    arrival,
    case::Case,
    model::{self, Change, Epoch, Expected, FlowModel, Judged, Place},
    panes::{self, named},
    product::{Fired, Ran, core, ledger_of, replay},
    settings::{Flow, Kind},
};

/// A case in which the product and the model differ.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case without the events whose outcome the rules leave open.
    pub(crate) case: Case,
    pub(crate) differences: Vec<String>,
}

/// Runs a case in all ways; `None` if they agree.
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
            drop((of_replay, of_core));
            case.remove(&undecided);
            continue;
        }
        let cored = guarded("core", || core::run(case, &actions))?;
        let mut differences = compare("replay", &replayed, &of_replay);
        differences.extend(compare("core", &cored, &of_core));
        differences.extend(order_matters((&replayed, &of_replay), (&cored, &of_core)));
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

fn compare(path: &str, ran: &Ran, judged: &Judged<'_>) -> Vec<String> {
    let mut differences = Vec::new();
    for (number, model) in judged.flows.iter().enumerate() {
        let flow = judged.epochs[0][number].flow;
        let at = format!("{path}, flow {}", flow.name);
        let fired: Vec<&Fired> = ran.rows.iter().filter(|fired| fired.flow == number).collect();
        let laws = panes::laws(flow, &fired, is_edited(judged));
        let wrong = panes::wrong(judged, model, &fired);
        let missing = panes::missing(judged, model, &fired);
        differences.extend([laws, wrong, missing].into_iter().flatten().map(|what| format!("{at}, {what}")));
        let (_, found) = &ran.ledgers[number];
        let expected: BTreeMap<&str, i64> = model
            .ledger
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

/// If nothing is late or duplicated in either order, both must count the same; equal sets of values have equal
/// estimates in any case.
fn order_matters(one: (&Ran, &Judged<'_>), other: (&Ran, &Judged<'_>)) -> Vec<String> {
    let is_decided = [one.1, other.1].into_iter().all(|judged| {
        let is_edited = is_edited(judged);
        !(judged.is_late || is_lossy(judged) || is_edited || judged.redriven > 0)
    });
    let mut differences = Vec::new();
    for number in 0..one.1.flows.len() {
        let name = &one.1.epochs[0][number].flow.name;
        let Some(same) = other.1.epochs[0].iter().position(|epoch| epoch.flow.name == *name) else {
            continue;
        };
        let (finals, others) = (Finals::new(one, number), Finals::new(other, same));
        for place in finals.places.keys().chain(others.places.keys()) {
            let (expected, must) = (finals.expected(place), others.expected(place));
            let at = || format!("flow {name}, {}", named(place));
            if is_decided && expected != must {
                differences
                    .push(format!("model, {}: the order of arrival matters, though nothing is late", at()));
            }
            for (measure, items) in expected {
                let is_same = matches!(items, Expected::Distinct(_)) && must.get(measure) == Some(&items);
                let estimates = finals.value(place, measure).zip(others.value(place, measure));
                if is_same && estimates.is_some_and(|(one, other)| one != other) {
                    differences.push(format!("{}: {measure} depends on the order of arrival", at()));
                }
            }
        }
    }
    differences
}

/// The final result of a flow.
struct Finals<'a> {
    /// The editions of the flow, by the number of restarts.
    epochs: Vec<&'a Epoch<'a>>,
    places: BTreeMap<Place, Vec<Change>>,
    rows: BTreeMap<Place, &'a Fired>,
}

impl<'a> Finals<'a> {
    fn new((ran, judged): (&'a Ran, &'a Judged<'a>), number: usize) -> Self {
        let fired: Vec<&Fired> = ran.rows.iter().filter(|fired| fired.flow == number).collect();
        let model = &judged.flows[number];
        let epochs = judged.epochs.iter().map(|flows| &flows[number]).collect();
        Self { epochs, places: model.places(), rows: panes::finals(model.epoch.flow, &fired) }
    }

    /// The flow as it was when the last pane fired.
    fn epoch(&self, place: &Place) -> &'a Epoch<'a> {
        self.epochs[self.rows.get(place).map_or(0, |fired| fired.epoch)]
    }

    fn expected(&self, place: &Place) -> BTreeMap<&'a str, Expected> {
        let epoch = self.epoch(place);
        let changes = self.places.get(place).map_or(&[][..], Vec::as_slice);
        epoch.flow.stored().into_iter().zip(epoch.values(place, changes)).collect()
    }

    fn value(&self, place: &Place, measure: &str) -> Option<&'a Value> {
        let number = self.epoch(place).flow.stored().iter().position(|known| *known == measure)?;
        self.rows.get(place).map(|fired| &fired.row.values[number])
    }
}

/// Whether a restart changed the edition of the flows.
fn is_edited(judged: &Judged<'_>) -> bool {
    let first = &judged.epochs[0];
    let is_other = |flows: &Vec<Epoch<'_>>| {
        flows.iter().zip(first).any(|(now, first)| !std::ptr::eq(now.flow, first.flow))
    };
    judged.epochs.iter().any(is_other)
}

/// Whether an event was not counted because of its arrival time.
fn is_lossy(judged: &Judged<'_>) -> bool {
    let has = |flow: &FlowModel<'_>, outcome: &str| flow.ledger.get(outcome).is_some_and(|count| *count > 0);
    judged.flows.iter().any(|flow| has(flow, "duplicate") || has(flow, "late"))
}
