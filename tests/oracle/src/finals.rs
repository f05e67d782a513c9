//! Bounded inputs through the replay: several partitions, read side by side by event time, in which no event is
//! older than out-of-orderness and lateness allow. Then every event counts in all its windows.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};
use counting::dice::Dice;
use event::{CtrRow, EventTime, Ledger, ledger::Outcome};
use processor::{
    flow::{Flow, TimeKind},
    replay::{Record, Replay},
};
use serde_json::{Value, json};

use crate::{
    script::{self, Event},
    settings::{self, Settings},
};

/// Windows that several cases share, so that Beam runs all of those in one pipeline: size and period in units.
const SHAPES: [(i64, Option<i64>); 12] = [
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
    let mut last = BTreeMap::new();
    for row in rows {
        let key = row.key.get(0).map(str::to_owned);
        last.insert((row.window.start.0, key), (row.ctr.views, row.ctr.clicks));
    }
    let rows: Vec<_> =
        last.into_iter().map(|((start, key), (views, clicks))| (start, key, views, clicks)).collect();
    Ok(json!({
        "seed": seed, "settings": settings, "events": events, "rows": rows,
        "ignored": ledger.get(Outcome::Ignored),
    }))
}

/// Replays the events of each partition; nothing may be late.
pub(crate) fn replayed(
    seed: u64,
    flow: Flow,
    mut partitions: Vec<VecDeque<String>>,
) -> Result<(Vec<CtrRow>, Ledger)> {
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
    let allowed_lateness = if dice.percent(30) { 0 } else { dice.between(0, 2 * size * unit) };
    Settings { unit, size: size * unit, period: period.map(|p| p * unit), allowed_lateness, early: None }
}

/// Each partition's clock goes on at its own pace, and its events lag behind it as far as they may.
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
                    // Aligning goes back in time: only where that is not too far.
                    let time = if clock - aligned <= lag { aligned } else { time };
                    script::event(0, time, dice)
                })
                .collect()
        })
        .collect()
}
