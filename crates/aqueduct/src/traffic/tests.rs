//! What the traffic promises.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;

fn shape() -> Shape {
    Shape { rate: NonZeroU64::new(100).expect("not 0"), ..Shape::default() }
}

fn share(text: &str) -> Share {
    text.parse().expect("a share")
}

fn events(shape: Shape, seed: u64, count: usize) -> Vec<(Meta, Vec<u8>)> {
    let mut traffic = Traffic::new(shape, seed);
    (0..count)
        .map(|_| {
            let mut bytes = Vec::new();
            (traffic.next(&mut bytes), bytes)
        })
        .collect()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("an unbroken event is JSON")
}

#[test]
fn a_seed_fixes_every_byte() {
    let busy = Shape { late: share("5%"), duplicates: share("2%"), broken: share("2%"), ..shape() };
    assert_eq!(events(busy.clone(), 7, 5000), events(busy.clone(), 7, 5000));
    assert_ne!(events(busy.clone(), 7, 100), events(busy, 8, 100));
}

#[test]
fn every_event_is_json_with_a_unique_id() {
    let mut ids = HashSet::new();
    let mut bytes = 0;
    for (meta, text) in events(shape(), 1, 20_000) {
        let event = json(&text);
        assert_eq!(event["time"], meta.time.to_string());
        assert_eq!(event["session"]["user"], format!("u-{}", meta.user));
        let id = &event["user_id"];
        assert_eq!(id.as_u64().or(id.as_str().and_then(|id| id.parse().ok())), Some(meta.user));
        assert!(event["page"].as_str().is_some_and(|page| page.starts_with('/')));
        assert!(event["ip"].is_string());
        let counted = matches!(meta.kind, Kind::View | Kind::Click);
        assert_eq!((event["box"].is_string(), event["view_id"].is_string()), (counted, counted));
        assert!(ids.insert(event["event_id"].as_str().map(str::to_owned)), "{event}");
        bytes += text.len();
    }
    let mean = bytes / 20_000;
    assert!((210..=290).contains(&mean), "{mean} bytes an event");
}

#[test]
fn times_are_spaced_by_the_rate_and_in_order() {
    for (n, (meta, _)) in events(shape(), 1, 5000).into_iter().enumerate() {
        assert_eq!((meta.written, meta.time), (EventTime(DEFAULT_START.0 + n as i64 * 10), meta.written));
    }
}

#[test]
fn a_click_follows_a_view_of_its_user() {
    let mut views = HashMap::new();
    let mut clicks = 0;
    for (meta, text) in events(shape(), 3, 50_000) {
        let event = json(&text);
        let seen = ["user_id", "page", "box"].map(|name| event[name].clone());
        match meta.kind {
            Kind::View => drop(views.insert(event["view_id"].clone(), (meta.time, seen))),
            Kind::Click => {
                let (time, shown) = views.get(&event["view_id"]).expect("the view came first");
                assert!(*time < meta.time && meta.time.0 - time.0 <= 300_000, "{event}");
                assert_eq!(*shown, seen);
                clicks += 1;
            }
            Kind::Search | Kind::Contact => {}
        }
    }
    let rate = f64::from(clicks) / views.len() as f64;
    assert!((0.03..0.08).contains(&rate), "{rate}");
}

#[test]
fn boxes_differ_in_their_rate() {
    let mut counts: HashMap<String, (f64, f64)> = HashMap::new();
    for (meta, text) in events(shape(), 3, 100_000) {
        let event = json(&text);
        let Some(name) = event["box"].as_str() else { continue };
        let (views, clicks) = counts.entry(name.to_owned()).or_default();
        *(if meta.kind == Kind::View { views } else { clicks }) += 1.0;
    }
    let rate = |name: &str| counts[name].1 / counts[name].0;
    assert!(rate("similar-items") > 1.4 * rate("top-picks") && rate("sponsored") < 0.3 * rate("top-picks"));
    assert!(counts["top-picks"].0 > 1.6 * counts["similar-items"].0, "the first box is seen most");
}

#[test]
fn late_events_are_seconds_to_minutes_late() {
    let late: Vec<_> = events(Shape { late: share("10%"), ..shape() }, 1, 200_000)
        .into_iter()
        .filter(|(meta, _)| meta.late)
        .map(|(meta, _)| meta.written.0 - meta.time.0)
        .collect();
    assert!((10_000..30_000).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|wait| (1000..601_000).contains(wait)));
    assert!(late.iter().any(|wait| *wait > 400_000) && late.iter().any(|wait| *wait < 5000));
}

#[test]
fn duplicates_repeat_earlier_bytes() {
    let mut seen = HashSet::new();
    let mut duplicates = 0;
    for (meta, text) in events(Shape { duplicates: share("2%"), ..shape() }, 1, 50_000) {
        assert_eq!(!seen.insert(text), meta.duplicate);
        duplicates += u32::from(meta.duplicate);
    }
    assert!((700..1300).contains(&duplicates), "{duplicates}");
}

#[test]
fn broken_events_are_broken_as_labelled() {
    let mut seen = HashSet::new();
    for (meta, text) in events(Shape { broken: share("10%"), ..shape() }, 1, 20_000) {
        let event: Result<Value, _> = serde_json::from_slice(&text);
        let Some(defect) = meta.defect else { continue };
        seen.insert(defect);
        let counted = matches!(meta.kind, Kind::View | Kind::Click);
        let as_said = match (defect, event) {
            (Defect::Truncated, event) => event.is_err() && text.starts_with(b"{"),
            (Defect::NotUtf8, event) => event.is_err() && std::str::from_utf8(&text).is_err(),
            (Defect::Tombstone, _) => text.is_empty(),
            (_, Err(_)) => false,
            (Defect::Array, Ok(event)) => event.is_array(),
            (Defect::NoTime, Ok(event)) => event["time"].is_null(),
            (Defect::WordTime, Ok(event)) => event["time"] == "yesterday",
            (Defect::FutureTime, Ok(event)) => event["time"] == "2999-12-31T23:59:59.000Z",
            (Defect::ArrayUser, Ok(event)) => event["user_id"].is_array(),
            (Defect::ObjectBox, Ok(event)) => event["box"].is_object() == counted,
        };
        assert!(as_said, "{defect:?}: {}", text.escape_ascii());
    }
    assert_eq!(seen.len(), 9);
}

/// Each is complete by itself: the image is built without the examples.
#[test]
fn the_example_has_the_schema_of_the_generator() {
    assert_eq!(encode::PROTOBUF, include_str!("../../../../examples/protobuf/event.proto"));
}
