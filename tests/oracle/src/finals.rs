//! Bounded inputs through the replay: several partitions, merged by event time, in which no event is late. Every event
//! counts in all its windows.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};
use counting::dice::Dice;
use event::{EventTime, Ledger, ledger::Outcome};
use flow::{
    Flow, TimeKind,
    row::{Row, Value as Measured},
};
use processor::replay::{Record, Replay};
use serde_json::{Value, json};

use crate::{
    script::{self, Event},
    settings::{self, Settings},
};

/// The measures of a row in order; prices in hundredths, `None` without a minimum or maximum.
pub(crate) type Values = Vec<Option<i64>>;

/// Windows that several cases share, so that Beam runs them in one pipeline: size and period in units. A period of 0
/// means sessions.
const SHAPES: [(i64, Option<i64>); 15] = [
    (1, Some(0)),
    (3, Some(0)),
    (8, Some(0)),
    (1, None),
    (7, None),
    (10, Some(1)),
    (6, Some(2)),
    (4, Some(4)),
    (10, Some(4)),
    (7, Some(3)),
    (9, Some(6)),
    (5, Some(2)),
    (3, Some(7)),
    (1, Some(2)),
    (8, Some(9)),
];

/// A bounded case: its events, and the last pane of every window and key.
pub(crate) fn run(seed: u64) -> Result<Value> {
    let dice = &mut Dice::new(seed).stream(1);
    let settings = roll(dice);
    let out_of_orderness = dice.between(0, 2 * settings.size);
    let partitions = partitions(&settings, out_of_orderness, dice);
    let events: Vec<Event> = partitions.iter().flatten().copied().collect();

    let flow = settings.flow(TimeKind::Event, out_of_orderness)?;
    let payloads =
        partitions.iter().map(|events| events.iter().map(|event| event.payload(event.time)).collect());
    let (rows, ledger) = replayed(seed, flow, payloads.collect())?;
    let mut last: BTreeMap<(i64, i64, Option<String>), Values> = BTreeMap::new();
    for row in rows {
        let (start, end, key) = (row.window.start.0, row.window.end.0, row.key.get(0).map(str::to_owned));
        if settings.is_session {
            last.retain(|(other, other_end, of), _| *of != key || *other_end <= start || end <= *other);
        }
        last.insert((start, end, key), values(&row));
    }
    let rows: Vec<_> =
        last.into_iter().map(|((start, end, key), values)| (start, end, key, values)).collect();
    Ok(json!({
        "seed": seed, "settings": settings, "events": events, "rows": rows,
        "ignored": ledger.get(Outcome::Ignored),
    }))
}

/// Replays the events of all partitions; none may be late.
pub(crate) fn replayed(
    seed: u64,
    flow: Flow,
    mut partitions: Vec<VecDeque<String>>,
) -> Result<(Vec<Row>, Ledger)> {
    let mut replay = Replay::new(&settings::events()?, vec![flow], partitions.len(), EventTime(i64::MAX / 2));
    let mut rows = Vec::new();
    while let Some(number) = replay.next_partition() {
        match partitions[number].pop_front() {
            Some(payload) => {
                let payload = payload.as_bytes();
                replay.event(&Record { partition: number, topic: "", kafka_time: None, payload });
            }
            None => replay.end(number),
        }
        replay.advance(&mut |_, fired| rows.append(fired));
    }
    let ledger = replay.engine().flows()[0].ledger;
    if ledger.get(Outcome::Late) != 0 {
        bail!("seed {seed}: the generator made an event that is late");
    }
    Ok((rows, ledger))
}

fn roll(dice: &mut Dice) -> Settings {
    let unit = dice.pick(&[250, 60_000]);
    let (size, period) = dice.pick(&SHAPES);
    let is_session = period == Some(0);
    let period = period.filter(|_| !is_session).map(|period| period * unit);
    let lateness = if dice.percent(30) { 0 } else { dice.between(0, 2 * size * unit) };
    let size = size * unit;
    let allowed_lateness = if is_session { lateness.max(size) } else { lateness };
    Settings { unit, size, is_session, period, allowed_lateness, early: None }
}

/// The measures of a row.
pub(crate) fn values(row: &Row) -> Values {
    let value = |value: &Measured| match value {
        Measured::Null => None,
        Measured::Number(_) => value.to_f64().map(|price| (100.0 * price).round() as i64),
        Measured::Count(_) | Measured::Distinct(_) => value.count().map(|count| count as i64),
    };
    row.values.iter().map(value).collect()
}

/// Each partition's clock advances at its own pace, and its events lag behind it by at most the limit.
fn partitions(settings: &Settings, out_of_orderness: i64, dice: &mut Dice) -> Vec<VecDeque<Event>> {
    let base = dice.pick(&[-3_600_000, 0, 1_700_000_000_000]);
    let lag = out_of_orderness + settings.allowed_lateness;
    (0..dice.between(1, 3))
        .map(|_| {
            let mut clock = base + dice.between(-2 * settings.size, 2 * settings.size);
            (0..dice.between(0, 25))
                .map(|_| {
                    clock += dice.between(0, settings.step());
                    let time = clock - if dice.percent(40) { dice.between(0, lag) } else { 0 };
                    let aligned = time - time.rem_euclid(settings.unit);
                    // Aligning moves back in time, so only if that is within the limit.
                    let time = if clock - aligned <= lag { aligned } else { time };
                    script::event(0, time, dice)
                })
                .collect()
        })
        .collect()
}
