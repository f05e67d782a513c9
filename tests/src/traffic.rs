//! The records of the tests: views and clicks of the last half hour or more, slightly out of order, some duplicated,
//! some broken. Every personal value contains [`CANARY`], which must not appear anywhere after the connector.

use std::collections::VecDeque;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{produced::Refused, recount::stamp};

/// Part of every raw ID.
pub const CANARY: &str = "canary";

/// A record to be produced.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The partition.
    pub partition: i32,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The expected dead letter, if it is broken.
    pub refused: Option<Refused>,
}

/// The records of half an hour, or longer; always the same except for the time of day.
pub struct Traffic {
    partitions: i32,
    events: u64,
    next: u64,
    /// One of this many records is broken.
    pub broken_every: u64,
    /// One of this many records is duplicated.
    pub twice_every: u64,
    start: i64,
    span: i64,
    again: VecDeque<(u64, Outgoing)>,
    random: u64,
    ids: String,
}

const MINUTE: i64 = 60_000;
const SPAN: i64 = 30 * MINUTE;
/// The windows of the last events have ended, too.
const AGO: i64 = 15 * MINUTE;
/// Maximum disorder of the events; less than `out_of_orderness`.
const DISORDER: u64 = 4_000;
const AGAIN_AFTER: u64 = 15;

impl Traffic {
    /// This many events, spread over the partitions.
    pub fn new(events: u64, partitions: i32) -> Self {
        let now = Timestamp::now().as_millisecond();
        let start = now - now.rem_euclid(MINUTE) - SPAN - AGO;
        let (again, random) = (VecDeque::new(), 0x5eed);
        Self {
            partitions,
            events,
            next: 0,
            broken_every: u64::MAX,
            twice_every: u64::MAX,
            start,
            span: SPAN,
            again,
            random,
            ids: "e".to_owned(),
        }
    }

    /// The same records with other event IDs.
    #[must_use]
    pub fn with_ids(mut self, ids: &str) -> Self {
        ids.clone_into(&mut self.ids);
        self
    }

    /// The same records spread over this many hours.
    #[must_use]
    pub fn over_hours(mut self, hours: i64) -> Self {
        self.start -= hours * 60 * MINUTE - self.span;
        self.span = hours * 60 * MINUTE;
        self
    }

    /// With broken records and duplicates.
    #[must_use]
    pub fn with_trouble(mut self) -> Self {
        (self.broken_every, self.twice_every) = (101, 97);
        self
    }

    fn event(&mut self, n: u64) -> Result<Value> {
        let step = i64::try_from(n)? * self.span / i64::try_from(self.events)?;
        let time = self.start + step - i64::try_from(self.below(DISORDER))?;
        let kind = match self.below(20) {
            0 => "scroll",
            1..=3 => "click",
            _ => "view",
        };
        let page = self.below(5);
        let user = self.below(500);
        let place = match self.below(6) {
            0 => Value::Null,
            1 => json!(7),
            2 => json!(true),
            other => json!(format!("box-{other}")),
        };
        let time = if n.is_multiple_of(3) { json!(time) } else { json!(stamp(time)?) };
        Ok(json!({
            "event_id": format!("{}-{n}", self.ids), "type": kind, "time": time,
            "page": format!("/p/{page}?visitor={CANARY}-{user}"), "box": place,
            "user_id": format!("{CANARY}-user-{user}"), "ip": format!("{CANARY}-ip-{user}"),
            "session": {"user": format!("{CANARY}-session-{user}"), "number": 3},
            "items": [{"seller_id": format!("{CANARY}-seller"), "price": 9.5}, {"seller_id": null}],
        }))
    }

    fn outgoing(&mut self, n: u64) -> Result<Outgoing> {
        let mut event = self.event(n)?;
        let partition = i32::try_from(n % u64::from(self.partitions.unsigned_abs()))?;
        let mut key = format!("{CANARY}-key-{n}").into_bytes();
        let mut refused = None;
        let mut value = None;
        let mut is_tombstone = false;
        if n % self.broken_every == self.broken_every - 1 {
            let connector = |reason| Refused { stage: "connector", reason, pointer: None };
            let processor = |reason, pointer| Refused { stage: "processor", reason, pointer: Some(pointer) };
            refused = Some(match (n / self.broken_every) % 10 {
                0 => {
                    value = Some(format!("{{\"user_id\":\"{CANARY}").into_bytes());
                    connector("not-json")
                }
                1 => {
                    value = Some(format!("[{{\"user_id\":\"{CANARY}\"}}]").into_bytes());
                    connector("not-an-object")
                }
                2 => {
                    is_tombstone = true;
                    connector("tombstone")
                }
                3 => {
                    key.extend([0xff, 0xfe]);
                    connector("key-not-utf8")
                }
                4 => {
                    value = Some([format!("{{\"user_id\":\"{CANARY}").as_bytes(), b"\xff\"}"].concat());
                    connector("invalid-utf8")
                }
                5 => {
                    value = Some(format!("{{}} {CANARY}").into_bytes());
                    connector("trailing-data")
                }
                6 => {
                    event["user_id"] = json!({"name": CANARY});
                    Refused { pointer: Some("/user_id"), ..connector("unexpected-shape") }
                }
                7 => {
                    event["time"] = json!("yesterday");
                    processor("time", "/time")
                }
                8 => {
                    event["type"] = json!("view");
                    event["box"] = json!(["top"]);
                    processor("unexpected-shape", "/box")
                }
                _ => {
                    event["time"] = json!(self.start + 48 * 60 * MINUTE);
                    processor("future", "/time")
                }
            });
        }
        let value = value.unwrap_or_else(|| event.to_string().into_bytes());
        Ok(Outgoing { partition, key: Some(key), value: (!is_tombstone).then_some(value), refused })
    }

    /// A pseudo-random number below another (Knuth's MMIX).
    fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }
}

impl Iterator for Traffic {
    type Item = Outgoing;

    fn next(&mut self) -> Option<Outgoing> {
        if self.again.front().is_some_and(|(due, _)| *due <= self.next || self.next == self.events) {
            return self.again.pop_front().map(|(_, outgoing)| outgoing);
        }
        if self.next == self.events {
            return None;
        }
        let n = self.next;
        self.next += 1;
        let outgoing = self.outgoing(n).expect("times of this year have a text");
        if n % self.twice_every == self.twice_every - 1 && outgoing.refused.is_none() {
            let partition = (outgoing.partition + 1) % self.partitions;
            self.again.push_back((n + AGAIN_AFTER, Outgoing { partition, ..outgoing.clone() }));
        }
        Some(outgoing)
    }
}
