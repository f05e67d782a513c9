//! The laws of panes: each equals the model, and their order is valid.

use std::collections::BTreeMap;

use event::EventTime;
use flow::row::{Pane, Row, Value};

use crate::{
    model::{Epoch, Expected, FlowModel, Judged, Key, Place},
    product::Fired,
    settings::{Flow, Window},
};

fn key(row: &Row) -> Key {
    row.key.iter().map(|value| value.map(str::to_owned)).collect()
}

fn place(row: &Row) -> Place {
    ((row.window.start.0, row.window.end.0), key(row))
}

pub(crate) fn named(((start, end), key): &Place) -> String {
    format!("window {} to {}, key {key:?}", EventTime(*start), EventTime(*end))
}

/// The last pane of each window and key that no later overlapping session replaces.
pub(crate) fn finals<'a>(flow: &Flow, fired: &[&'a Fired]) -> BTreeMap<Place, &'a Fired> {
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

/// Every pane equals the contents of its window when it fired, and every ratio equals its division.
pub(crate) fn wrong(judged: &Judged<'_>, model: &FlowModel<'_>, fired: &[&Fired]) -> Vec<String> {
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
        wrong.extend(wrong_ratios(epoch, fired).into_iter().map(|ratio| format!("{}: {ratio}", at())));
    }
    wrong
}

/// Wrong ratios, including those of views and clicks.
fn wrong_ratios(epoch: &Epoch<'_>, fired: &Fired) -> Vec<String> {
    let stored = epoch.flow.stored();
    let mut ratios = epoch.flow.shown_ratios();
    let short = [("ctr", "clicks"), ("ctr_attributed", "attributed_clicks")]
        .map(|(name, of)| (name.to_owned(), [of.to_owned(), "views".to_owned()], 1));
    ratios.extend(short.iter().filter(|(_, of, _)| stored.contains(&of[0].as_str())));
    let mut wrong = Vec::new();
    for (name, of, per) in ratios {
        let value = |name: &String| {
            let number = stored.iter().position(|known| known == name)?;
            text(&fired.row.values[number])?.parse::<f64>().ok()
        };
        let must = value(&of[0]).zip(value(&of[1])).filter(|(_, over)| *over != 0.0);
        let must = must.map(|(of, over)| of / over * *per as f64);
        let is = fired.ratios.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let is_right = match (is, must) {
            (Some(is), Some(must)) => (is - must).abs() <= 1e-9 * must.abs(),
            (is, must) => is == must,
        };
        if !is_right {
            wrong.push(format!("{name} is {is:?}, must be {must:?}"));
        }
    }
    wrong
}

/// The last panes are complete and contain everything that was counted.
pub(crate) fn missing(judged: &Judged<'_>, model: &FlowModel<'_>, fired: &[&Fired]) -> Vec<String> {
    let (finals, places) = (finals(model.epoch.flow, fired), model.places());
    let mut missing = Vec::new();
    for (place, changes) in &places {
        let last = finals.get(place);
        let epoch = last.map_or(&model.epoch, |fired| &judged.epochs[fired.epoch][fired.flow]);
        let expected = epoch.values(place, changes);
        let is_right = match last {
            Some(fired) => agree(&fired.row.values, &expected),
            // A row without counts is equivalent to no row.
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
    let texts: Vec<String> =
        values.iter().map(|value| text(value).unwrap_or_else(|| "NULL".to_owned())).collect();
    format!("[{}]", texts.join(", "))
}

/// Violations in the panes of a flow, in the order in which they fired.
pub(crate) fn laws(flow: &Flow, fired: &[&Fired], is_edited: bool) -> Vec<String> {
    match flow.window {
        Window::Session(gap) => session_laws(flow, gap, fired, is_edited),
        Window::Sliding(..) | Window::Calendar(..) => pane_laws(flow, fired, is_edited),
    }
}

fn pane_laws(flow: &Flow, fired: &[&Fired], is_edited: bool) -> Vec<String> {
    let mut panes: BTreeMap<Place, Vec<&Row>> = BTreeMap::new();
    for fired in fired {
        panes.entry(place(&fired.row)).or_default().push(&fired.row);
    }
    let mut broken = Vec::new();
    for (place, rows) in &panes {
        let mut say = |what: String| broken.push(format!("{}: {what}", named(place)));
        let indexes: Vec<u32> = rows.iter().map(|row| row.pane_index).collect();
        // A key whose only measure is removed temporarily has no pane then, and its index may be skipped.
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
        // A join retracts a click when a nearer view arrives.
        if flow.join.is_none() && shrinks(1) {
            say("clicks are taken back without a join".to_owned());
        }
    }
    broken
}

/// EARLY panes before the watermark reaches the window's end, and no others.
fn has_wrong_kind(row: &Row) -> bool {
    (row.pane == Pane::Early) != (row.window.end > row.watermark)
}

/// Sessions only grow, and their panes are counted together: a pane replaces all before it that it overlaps, and none of
/// them was final by then.
fn session_laws(flow: &Flow, gap: i64, fired: &[&Fired], is_edited: bool) -> Vec<String> {
    let mut broken = Vec::new();
    let places: Vec<Place> = fired.iter().map(|fired| place(&fired.row)).collect();
    let replaces =
        |new: usize, old: usize| places[new].1 == places[old].1 && overlaps(&places[new], &places[old]);
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
        // An edit of the lateness changes what is final.
        let was_final = |old: usize| {
            let pane = &fired[old].row;
            let end = pane.window.end.0 + flow.allowed_lateness + gap;
            let is_first = || !(old + 1..number).any(|other| replaces(other, old));
            pane.pane != Pane::Early && end <= row.watermark.0 && replaces(number, old) && is_first()
        };
        if !is_edited && (0..number).any(was_final) {
            say("it replaces a pane that was final".to_owned());
        }
        // If the watermark has already passed the end, only a late event fires another pane.
        let is_again = replaced.iter().any(|(old, row)| old.0.1 == at.0.1 && row.pane != Pane::Early);
        if has_wrong_kind(row) || is_again && row.pane != Pane::Late {
            say(format!("the pane is {}", row.pane));
        }
    }
    broken
}
