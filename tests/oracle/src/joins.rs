//! Bounded inputs of a flow with a join through the replay. No event is so late that a window it changes is closed:
//! then the join does not depend on the order of arrival, and a batch pipeline gives the same rows.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use counting::dice::Dice;
use event::ledger::Outcome;
use flow::TimeKind;
use serde_json::{Value, json};

use crate::{finals, settings::Settings};

/// Windows that several cases share, so that Beam runs them in one pipeline: size, period and the maximum time between
/// view and click, in units.
const SHAPES: [(i64, Option<i64>, i64); 6] =
    [(1, None, 2), (7, None, 3), (10, Some(1), 4), (6, Some(4), 10), (5, Some(2), 0), (2, Some(5), 4)];

const UNIT: i64 = 1_000;

/// Time, page, kind, and the join value.
type Event = (i64, Option<&'static str>, &'static str, i64);

/// A bounded case: its events, and the last pane of every window and key.
pub(crate) fn run(seed: u64) -> Result<Value> {
    let dice = &mut Dice::new(seed).stream(2);
    let (size, period, within) = dice.pick(&SHAPES);
    let within = within * UNIT;
    let settings = Settings {
        unit: UNIT,
        size: size * UNIT,
        is_session: false,
        period: period.map(|period| period * UNIT),
        allowed_lateness: within + dice.between(0, 2 * size * UNIT),
        early: None,
    };
    let out_of_orderness = dice.between(0, 2 * settings.size);
    // A click may be as late as the windows of its view allow.
    let lag = out_of_orderness + settings.allowed_lateness - within;
    let partitions = partitions(&settings, lag, dice);
    let events: Vec<Event> = partitions.iter().flatten().copied().collect();

    let flow = settings.joined(TimeKind::Event, out_of_orderness, within)?;
    let payload = |(time, page, kind, value): &Event| {
        json!({ "t": time, "p": page, "k": kind, "v": value }).to_string()
    };
    let payloads = partitions.iter().map(|events| events.iter().map(payload).collect());
    let (rows, ledger) = finals::replayed(seed, flow, payloads.collect())?;
    let mut last = BTreeMap::new();
    for row in rows {
        // If a view has no page, neither has its click; both sides write that as an empty string.
        let page = row.key.get(0).unwrap_or_default().to_owned();
        let counts = finals::values(&row);
        last.insert((row.window.start.0, page), counts);
    }
    // A click that was retracted by a nearer view may leave a row without counts.
    last.retain(|_, counts| counts.iter().any(|count| *count != Some(0)));
    let rows: Vec<_> = last.into_iter().map(|((start, page), counts)| (start, page, counts)).collect();
    Ok(json!({
        "seed": seed, "settings": settings, "within": within, "events": events, "rows": rows,
        "unmatched": ledger.get(Outcome::Unmatched),
    }))
}

/// Each partition's clock advances at its own pace, and its events lag behind it by at most the limit.
fn partitions(settings: &Settings, lag: i64, dice: &mut Dice) -> Vec<VecDeque<Event>> {
    let values = dice.pick(&[1, 3, 12]);
    (0..dice.between(1, 3))
        .map(|_| {
            let mut clock = dice.between(-2 * settings.size, 2 * settings.size);
            (0..dice.between(0, 30))
                .map(|_| {
                    clock += dice.between(0, settings.step());
                    let time = clock - if dice.percent(60) { dice.between(0, lag) } else { 0 };
                    let aligned = time - time.rem_euclid(settings.unit);
                    let time = if clock - aligned <= lag { aligned } else { time };
                    let page = dice.percent(88).then(|| dice.pick(&["0", "1", "2"]));
                    let kind =
                        dice.pick(&["view", "view", "view", "click", "click", "click", "both", "other"]);
                    (time, page, kind, dice.between(1, values))
                })
                .collect()
        })
        .collect()
}
