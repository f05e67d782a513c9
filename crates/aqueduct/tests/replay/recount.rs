//! The rates of a file, counted naively without code of the product.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::place::Finals;

/// Counts of a file.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    pub(crate) finals: Finals,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
}

/// A flow, as this recount needs it.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) by: &'static [&'static str],
    pub(crate) size: i64,
    pub(crate) period: i64,
}

/// The relevant part of an event.
struct Event {
    kind: String,
    time: i64,
    view_id: Option<String>,
    all: Value,
}

const MINUTE: i64 = 60_000;

impl Flow {
    fn starts(&self, time: i64) -> impl Iterator<Item = i64> {
        let (size, period) = (self.size, self.period);
        let last = time - time % period;
        (0..).map(move |n| last - n * period).take_while(move |start| start + size > time)
    }

    fn key(&self, event: &Event) -> Option<Vec<Option<String>>> {
        self.by
            .iter()
            .map(|name| match &event.all[*name] {
                Value::Null => Some(None),
                Value::String(text) => Some(Some(text.clone())),
                Value::Array(_) | Value::Object(_) => None,
                other => Some(Some(other.to_string())),
            })
            .collect()
    }

    fn add(
        &self,
        finals: &mut Finals,
        key: &[Option<String>],
        time: i64,
        what: impl Fn(&mut (u64, u64, u64)),
    ) {
        for start in self.starts(time) {
            what(finals.entry((self.name.to_owned(), stamp(start), key.to_vec())).or_default());
        }
    }
}

/// Views and clicks by their own columns.
pub(crate) fn recount(text: &[u8], flow: &Flow) -> Recount {
    let mut counted = Recount::default();
    for event in events(text, &mut counted) {
        let what: fn(&mut (u64, u64, u64)) = match event.kind.as_str() {
            "view" => |counts| counts.0 += 1,
            "click" => |counts| counts.1 += 1,
            _ => continue,
        };
        match flow.key(&event) {
            None => counted.rejected += 1,
            Some(key) => flow.add(&mut counted.finals, &key, event.time, what),
        }
    }
    counted
}

/// Clicks by the columns of the newest view before them with the same id.
pub(crate) fn recount_joined(text: &[u8], flow: &Flow, within: i64) -> Recount {
    let mut counted = Recount::default();
    let (mut views, mut clicks) = (HashMap::<String, Vec<(i64, Vec<Option<String>>)>>::new(), Vec::new());
    for event in events(text, &mut counted) {
        match event.kind.as_str() {
            "view" => match flow.key(&event) {
                None => counted.rejected += 1,
                Some(key) => {
                    flow.add(&mut counted.finals, &key, event.time, |counts| counts.0 += 1);
                    if let Some(id) = event.view_id {
                        views.entry(id).or_default().push((event.time, key));
                    }
                }
            },
            "click" => clicks.push(event),
            _ => {}
        }
    }
    let mut clicked = BTreeSet::new();
    for click in clicks {
        let Some(id) = click.view_id else { continue };
        let of_id = views.get(&id).into_iter().flatten();
        let before = of_id.filter(|(time, _)| *time <= click.time && click.time <= time + within);
        let Some((time, key)) = before.max_by_key(|(time, _)| *time) else { continue };
        flow.add(&mut counted.finals, key, click.time, |counts| counts.1 += 1);
        if clicked.insert((id, *time)) {
            flow.add(&mut counted.finals, key, *time, |counts| counts.2 += 1);
        }
    }
    counted
}

/// The events that have a time, each once.
fn events(text: &[u8], counted: &mut Recount) -> Vec<Event> {
    let now = Timestamp::now().as_millisecond();
    let mut ids = HashSet::new();
    let mut events = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        let time =
            value.as_ref().and_then(|value| time(&value["time"])).filter(|time| *time <= now + 60 * MINUTE);
        let (Some(all), Some(time)) = (value, time) else {
            counted.rejected += 1;
            continue;
        };
        let kind = all["type"].as_str().expect("generated events have a type").to_owned();
        // An ignored event does not reserve its ID: its copies are ignored, too.
        let is_taken = ["view", "click"].contains(&kind.as_str());
        if is_taken && !ids.insert(all["event_id"].as_str().expect("generated events have an id").to_owned())
        {
            counted.duplicates += 1;
            continue;
        }
        let view_id = all["view_id"].as_str().map(str::to_owned);
        events.push(Event { kind, time, view_id, all });
    }
    events
}

fn time(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn stamp(millis: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(millis).expect("a time"))
}
