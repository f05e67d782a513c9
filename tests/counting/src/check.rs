//! Compares the product with the model, and every pane with the laws of panes.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use event::EventTime;
use flow::row::{Pane, Row, Value};

use crate::{
    arrival,
    case::Case,
    model::{self, Expected, FlowModel, Judged, Key, Place},
    product::{Fired, Ran, core, ledger_of, replay},
    settings::{Flow, Kind, Window},
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
        let broken = match flow.window {
            Window::Session(_) => session_laws(&fired),
            _ => pane_laws(flow, &fired, is_edited(judged)),
        };
        differences.extend(broken.into_iter().map(|broken| format!("{at}, {broken}")));
        differences.extend(wrong_panes(judged, model, &fired).into_iter().map(|row| format!("{at}, {row}")));
        differences.extend(missing_panes(judged, model, &fired).into_iter().map(|row| format!("{at}, {row}")));
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

fn key(row: &Row) -> Key {
    row.key.iter().map(|value| value.map(str::to_owned)).collect()
}

fn place(row: &Row) -> Place {
    ((row.window.start.0, row.window.end.0), key(row))
}

fn named(((start, end), key): &Place) -> String {
    format!("window {} to {}, key {key:?}", EventTime(*start), EventTime(*end))
}

/// The last pane of each window and key that no later one of an overlapping session replaces.
fn finals<'a>(flow: &Flow, fired: &[&'a Fired]) -> BTreeMap<Place, &'a Fired> {
    let mut last: BTreeMap<Place, &Fired> = BTreeMap::new();
    for fired in fired {
        let new = place(&fired.row);
        if matches!(flow.window, Window::Session(_)) {
            last.retain(|old, _| old.1 != new.1 || !overlaps(old, &new));
        }
        last.insert(new, fired);
    }
    last
}

fn overlaps(((a, a_end), _): &Place, ((b, b_end), _): &Place) -> bool {
    a < b_end && b < a_end
}

/// Every pane has what was counted in its window when it fired, and every ratio is what it divides.
fn wrong_panes(judged: &Judged<'_>, model: &FlowModel<'_>, fired: &[&Fired]) -> Vec<String> {
    let mut wrong = Vec::new();
    for fired in fired {
        let place = place(&fired.row);
        let epoch = &judged.epochs[fired.epoch][fired.flow];
        let at = || format!("{}: pane {}", named(&place), fired.row.pane_index);
        let Some(changes) = model.cell(&place, fired.action) else {
            wrong.push(format!("{} is of no window", at()));
            continue;
        };
        let (found, expected) = (&fired.row.values, epoch.values(&place, &changes));
        if !agree(found, &expected) {
            let names = epoch.flow.stored().join(", ");
            wrong.push(format!("{}: {names} are {}, must be {expected:?}", at(), shown(found)));
        }
        let ratios = [("ctr", ["clicks", "views"]), ("ctr_attributed", ["attributed_clicks", "views"])];
        let ctr = ratios.into_iter().take(epoch.flow.stored().iter().filter(|name| name.contains("clicks")).count());
        let ctr = ctr.map(|(name, of)| (name.to_owned(), of.map(str::to_owned), 1));
        for (name, of, per) in ctr.chain(epoch.flow.shown_ratios().into_iter().cloned()) {
            let value = |name: &String| {
                let number = epoch.flow.stored().iter().position(|known| known == name)?;
                text(&found[number])?.parse::<f64>().ok()
            };
            let must = value(&of[0]).zip(value(&of[1])).filter(|(_, over)| *over != 0.0);
            let must = must.map(|(of, over)| of / over * per as f64);
            let is = fired.ratios.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let is_right = match (is, must) {
                (Some(is), Some(must)) => (is - must).abs() <= 1e-9 * must.abs(),
                (is, must) => is == must,
            };
            if !is_right {
                wrong.push(format!("{}: {name} is {is:?}, must be {must:?}", at()));
            }
        }
    }
    wrong
}

/// The last panes are all there, with everything that was ever counted.
fn missing_panes(judged: &Judged<'_>, model: &FlowModel<'_>, fired: &[&Fired]) -> Vec<String> {
    let (finals, places) = (finals(model.epoch.flow, fired), model.places());
    let mut missing = Vec::new();
    for (place, changes) in &places {
        let last = finals.get(place);
        let epoch = last.map_or(&model.epoch, |fired| &judged.epochs[fired.epoch][fired.flow]);
        let expected = epoch.values(place, changes);
        let is_right = match last {
            Some(fired) => agree(&fired.row.values, &expected),
            // A row that counts nothing is as good as none.
            None => expected.iter().all(is_nothing),
        };
        if !is_right {
            let found = last.map_or("no row".to_owned(), |fired| shown(&fired.row.values));
            missing.push(format!("{}: the final values are {found}, must be {expected:?}", named(place)));
        }
    }
    let extra = finals.keys().filter(|place| !places.contains_key(place));
    missing.extend(extra.map(|place| format!("{}: the window should not be there", named(place))));
    missing
}

fn agree(found: &[Value], expected: &[Expected]) -> bool {
    let agree = |(found, expected): (&Value, &Expected)| match (found, expected) {
        (Value::Null, Expected::Null) => true,
        (Value::Count(found), Expected::Count(expected)) => i64::try_from(*found) == Ok(*expected),
        (Value::Number(found), Expected::Number(expected)) => found.to_string() == *expected,
        (Value::Distinct(found), Expected::Distinct(expected)) => {
            found.number.abs_diff(expected.len() as u64) as f64 <= (expected.len() as f64 * 0.03).max(1.0)
        }
        _ => false,
    };
    found.len() == expected.len() && found.iter().zip(expected).all(agree)
}

fn is_nothing(expected: &Expected) -> bool {
    match expected {
        Expected::Null => true,
        Expected::Count(count) => *count == 0,
        Expected::Number(number) => number == "0",
        Expected::Distinct(items) => items.is_empty(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Count(count) => Some(count.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Distinct(estimate) => Some(estimate.number.to_string()),
    }
}

fn shown(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(|value| text(value).unwrap_or_else(|| "NULL".to_owned())).collect();
    format!("[{}]", texts.join(", "))
}

/// What is wrong with the panes of a flow, in the order in which they fired.
fn pane_laws(flow: &Flow, fired: &[&Fired], is_edited: bool) -> Vec<String> {
    let mut panes: BTreeMap<Place, Vec<&Row>> = BTreeMap::new();
    for fired in fired {
        panes.entry(place(&fired.row)).or_default().push(&fired.row);
    }
    let mut broken = Vec::new();
    for (place, rows) in &panes {
        let mut say = |what: String| broken.push(format!("{}: {what}", named(place)));
        let indexes: Vec<u32> = rows.iter().map(|row| row.pane_index).collect();
        // A key whose only measure is removed for a while has no pane then, and its index may be left out.
        let follows = |(n, index): (usize, &u32)| match n.checked_sub(1) {
            Some(before) if is_edited => *index > indexes[before],
            None if is_edited => true,
            _ => *index as usize == n,
        };
        if !indexes.iter().enumerate().all(follows) {
            say(format!("the panes have the indexes {indexes:?}"));
        }
        let kinds: Vec<&str> = rows.iter().map(|row| row.pane.as_str()).collect();
        let is_in_order = rows.windows(2).all(|pair| match (pair[0].pane, pair[1].pane) {
            (Pane::Early, _) => true,
            (Pane::OnTime | Pane::Late, next) => next == Pane::Late,
        });
        if !is_in_order || rows.iter().any(|row| has_wrong_kind(row)) {
            say(format!("the panes are {kinds:?}"));
        }
        if flow.ctr.is_none() {
            continue;
        }
        let count = |row: &Row, number: usize| row.values[number].count().unwrap_or_default();
        if flow.join.is_some() && rows.iter().any(|row| count(row, 2) > count(row, 0)) {
            say("more views are clicked than there are".to_owned());
        }
        let shrinks = |number| rows.windows(2).any(|pair| count(pair[1], number) < count(pair[0], number));
        if shrinks(0) {
            say("views are taken back".to_owned());
        }
        // A join takes a click back when a nearer view arrives.
        if flow.join.is_none() && shrinks(1) {
            say("clicks are taken back without a join".to_owned());
        }
    }
    broken
}

/// EARLY before the watermark is at the window's end, and nothing else.
fn has_wrong_kind(row: &Row) -> bool {
    (row.pane == Pane::Early) != (row.window.end > row.watermark)
}

/// Sessions only grow, and their panes are counted together: a pane replaces all before it that it overlaps.
fn session_laws(fired: &[&Fired]) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, new) in fired.iter().enumerate() {
        let (row, at) = (&new.row, place(&new.row));
        let mut say = |what: String| broken.push(format!("{}: {what}", named(&at)));
        let replaced = fired[..number].iter().map(|old| (place(&old.row), &old.row));
        let replaced: Vec<_> = replaced.filter(|(old, _)| old.1 == at.1 && overlaps(old, &at)).collect();
        if row.pane_index as usize != replaced.len() {
            say(format!("pane {} follows {} others", row.pane_index, replaced.len()));
        }
        if replaced.iter().any(|(((start, end), _), _)| *start < at.0.0 || at.0.1 < *end) {
            say("it lacks a part of a pane that it replaces".to_owned());
        }
        // Where the watermark has passed the end already, only a late event makes another pane.
        let is_again = replaced.iter().any(|(old, row)| old.0.1 == at.0.1 && row.pane != Pane::Early);
        if has_wrong_kind(row) || is_again && row.pane != Pane::Late {
            say(format!("the pane is {}", row.pane));
        }
    }
    broken
}

/// Where nothing is late or a duplicate in either order, both must count the same; the same values have the same
/// estimate in any case.
fn order_matters((one, judged): (&Ran, &Judged<'_>), (other, others): (&Ran, &Judged<'_>)) -> Vec<String> {
    let mut differences = Vec::new();
    let is_decided = ![judged, others].into_iter().any(|judged| judged.is_late || is_lossy(judged) || is_edited(judged));
    for (number, model) in judged.flows.iter().enumerate() {
        let flow = judged.epochs[0][number].flow;
        let same = others.epochs[0].iter().position(|epoch| epoch.flow.name == flow.name);
        let Some(same) = same else { continue };
        let (places, other_places) = (model.places(), others.flows[same].places());
        let fired = |ran: &Ran, number| -> BTreeMap<Place, Fired> {
            let fired: Vec<&Fired> = ran.rows.iter().filter(|fired| fired.flow == number).collect();
            finals(flow, &fired).into_iter().map(|(place, fired)| (place, fired.clone())).collect()
        };
        let (rows, other_rows) = (fired(one, number), fired(other, same));
        for place in places.keys().chain(other_places.keys()) {
            let values = |judged: &Judged<'_>, number: usize, changes: Option<&Vec<_>>, row: Option<&Fired>| {
                let epoch = &judged.epochs[row.map_or(0, |row| row.epoch)][number];
                let values = epoch.values(place, changes.map_or(&[], |changes| changes));
                epoch.flow.stored().into_iter().map(str::to_owned).zip(values).collect::<BTreeMap<_, _>>()
            };
            let (row, other_row) = (rows.get(place), other_rows.get(place));
            let expected = values(judged, number, places.get(place), row);
            let other_expected = values(others, same, other_places.get(place), other_row);
            if is_decided && expected != other_expected {
                differences.push(format!(
                    "model, flow {}, {}: the order of arrival matters, though nothing is late",
                    flow.name,
                    named(place)
                ));
            }
            let (Some(row), Some(other_row)) = (row, other_row) else { continue };
            let value = |judged: &Judged<'_>, number: usize, row: &Fired, name: &str| {
                let position = judged.epochs[row.epoch][number].flow.stored().iter().position(|known| *known == name);
                position.map(|position| row.row.values[position].clone())
            };
            for (name, expected) in expected.iter().filter(|(name, expected)| other_expected.get(*name) == Some(expected)) {
                if matches!(expected, Expected::Distinct(_))
                    && value(judged, number, row, name) != value(others, same, other_row, name)
                {
                    differences.push(format!("flow {}, {}: {name} depends on the order", flow.name, named(place)));
                }
            }
        }
    }
    differences
}

fn is_edited(judged: &Judged<'_>) -> bool {
    judged.epochs.iter().flatten().zip(judged.epochs[0].iter().cycle()).any(|(now, first)| !std::ptr::eq(now.flow, first.flow))
}

/// Whether an event was not counted because of when it arrived.
fn is_lossy(judged: &Judged<'_>) -> bool {
    let has = |flow: &FlowModel<'_>, outcome: &str| flow.ledger.get(outcome).is_some_and(|count| *count > 0);
    judged.flows.iter().any(|flow| has(flow, "duplicate") || has(flow, "late"))
}
