//! Random logs: views and clicks, duplicates of producers, rejected and late events, and gaps.

use std::collections::{BTreeMap, VecDeque};

use event::EventTime;

use crate::{
    case::{Content, Gap, Record},
    dice::Dice,
    settings::{Flow, MINUTE, SECOND, Settings, Window},
};

/// Start of production, 2023-10-26T18:00:00Z: a multiple of every window's period, and hours or days before the clocks
/// of the zones in `settings` are set back.
pub(crate) const START: i64 = 1_698_343_200_000;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;
/// Pub/Sub's clock is this far ahead of Kafka's, so that only events move a watermark.
const PUBLISHED: i64 = 10 * DAY;

/// Numbers of events: equal to those of matchers as decimals, or only as doubles.
const NUMBERS: [&str; 29] = [
    "1234567890123456789",
    "1234567890123456790",
    "1234567890123456700",
    "1234567890123456789.0",
    "1.234567890123456789e18",
    "12345678901234567890E-1",
    "9007199254740993",
    "9007199254740992",
    "9007199254740993.0",
    "0.1",
    "0.10",
    "1e-1",
    "10E-2",
    "0.1000000000000000055511151231257827",
    "0.100000000000000001",
    "100",
    "1e2",
    "1E+2",
    "100.0",
    "100.00000000000000001",
    "2.5",
    "25e-1",
    "0",
    "-0",
    "0e5",
    "1e-400",
    "-0.5",
    "-5e-1",
    "1e400",
];

const PRICES: [&str; 9] = [
    "0.000000001",
    "-0.000000001",
    "1e-9",
    "1.50e1",
    "99999999999999999999999999999.999999999",
    "-99999999999999999999999999999.999999999",
    "1e28",
    "12345678901234567.891",
    "-0",
];

/// An event of a producer, before it is written.
#[derive(Clone, Debug)]
struct Draft {
    topic: usize,
    time: i64,
    members: Vec<(String, String)>,
}

struct Producer<'a> {
    settings: &'a Settings,
    dice: &'a mut Dice,
    clock: i64,
    /// The maximum time between two records.
    pace: i64,
    /// The maximum age at which an event can still change something.
    reach: i64,
    /// Whether records have timestamps.
    has_timestamps: bool,
    /// Whether times have many digits after the point.
    has_long_fractions: bool,
    /// From this event time on pseudonyms have another key.
    rotated_at: i64,
    /// The last id within each scope.
    ids: BTreeMap<String, i64>,
    written: Vec<Draft>,
    corrections: VecDeque<Draft>,
    records: Vec<Record>,
}

/// Records of a case, in the order in which they are written.
pub(crate) fn roll(settings: &Settings, dice: &mut Dice) -> Vec<Record> {
    let reach = settings.flows().iter().map(Flow::reach).max().unwrap_or(MINUTE) + MINUTE;
    let has_days = settings.flows().iter().any(|flow| matches!(flow.window, Window::Calendar(..)));
    let pace = if has_days && dice.percent(80) {
        dice.pick(&[20 * MINUTE, 60 * MINUTE, 4 * 60 * MINUTE])
    } else {
        dice.pick(&[5 * SECOND, 30 * SECOND, 2 * MINUTE, 6 * MINUTE])
    };
    let has_timestamps = dice.percent(75);
    let has_long_fractions = dice.percent(10);
    let rotated_at = START + if dice.percent(20) { dice.between(0, 20 * pace) } else { DAY };
    let count = dice.between(3, 50);
    let mut producer = Producer {
        settings,
        dice,
        clock: START,
        pace,
        reach,
        has_timestamps,
        has_long_fractions,
        rotated_at,
        ids: BTreeMap::new(),
        written: Vec::new(),
        corrections: VecDeque::new(),
        records: Vec::new(),
    };
    for _ in 0..count {
        producer.produce();
    }
    producer.records
}

impl Producer<'_> {
    fn produce(&mut self) {
        self.clock += self.dice.between(0, self.pace);
        if self.dice.percent(50)
            && let Some(draft) = self.corrections.pop_front()
        {
            return self.write(draft);
        }
        match self.dice.between(0, 99) {
            0..=54 => {
                let draft = self.event();
                self.write(draft);
            }
            55..=64 => self.copy(),
            65..=71 => self.same_id(),
            72..=79 => self.refused(),
            80..=89 => self.late_click(),
            90..=93 => self.old(),
            94..=96 => {
                let gaps = [Gap::Rejected, Gap::Rejected, Gap::Filtered, Gap::Empty, Gap::Lost, Gap::Before];
                let gap = self.dice.pick(&gaps);
                let topic = self.dice.index(self.settings.topics.len());
                self.record(topic, Content::Gap(gap));
            }
            _ => {
                let text = self.dice.pick(&["[1,2]", "nonsense", "{\"time\":", "7", "\"text\""]);
                let topic = self.dice.index(self.settings.topics.len());
                self.record(topic, Content::Text(text.to_owned()));
            }
        }
    }

    /// A new event.
    fn event(&mut self) -> Draft {
        let time = match self.dice.between(0, 99) {
            0..=59 => self.clock - self.dice.between(0, 30 * SECOND),
            60..=84 => self.clock - self.dice.between(0, self.reach),
            85..=93 => self.clock - self.clock.rem_euclid(MINUTE),
            // At most `events.future` in the future.
            _ => self.clock + self.dice.between(0, self.settings.events.future),
        };
        let time = if self.dice.percent(70) { time - time.rem_euclid(10 * SECOND) } else { time };
        let topic = self.dice.index(self.settings.topics.len());
        self.event_at(topic, time)
    }

    fn event_at(&mut self, topic: usize, time: i64) -> Draft {
        let kinds = ["view", "view", "view", "click", "click", "both", "other"];
        let kind = self.dice.pick(&kinds);
        let mut members = vec![("type".to_owned(), format!("{kind:?}"))];
        let page = match self.dice.between(0, 99) {
            0..=89 => Some(format!("\"{}\"", self.dice.pick(&["a", "b", "c"]))),
            90..=92 => Some("null".to_owned()),
            93..=94 => Some("1".to_owned()),
            95..=96 => Some("1.0".to_owned()),
            97 => Some("[\"a\"]".to_owned()),
            _ => None,
        };
        members.extend(page.map(|page| ("page".to_owned(), page)));
        if self.dice.percent(60) {
            let of = self.dice.pick(&["top", "side"]);
            members.push(("ctx".to_owned(), format!("{{\"box\":\"{of}\"}}")));
        }
        for name in ["on", "of"] {
            let on = match self.dice.between(0, 99) {
                0..=89 => Some(format!("\"{}.v{}\"", self.key_of(time), self.dice.between(1, 5))),
                90..=92 => Some("7".to_owned()),
                93..=94 => Some("\"7\"".to_owned()),
                95 => Some("{\"v\":1}".to_owned()),
                _ => None,
            };
            members.extend(on.map(|on| (name.to_owned(), on)));
        }
        let flag = self.dice.pick(&["true", "false", "\"true\""]);
        members.push(("flag".to_owned(), flag.to_owned()));
        members.push(("n".to_owned(), self.dice.pick(&NUMBERS).to_owned()));
        members.extend(self.price().map(|price| ("price".to_owned(), price)));
        members.extend(self.user().map(|user| ("user".to_owned(), user)));
        if self.dice.percent(5) {
            members.push(("n2".to_owned(), "[{\"deep\":[1,\"x\"]}]".to_owned()));
        }
        let mut draft = Draft { topic, time, members };
        self.stamp(&mut draft);
        self.identify(&mut draft);
        draft
    }

    /// The input of sums and extremes: exact decimals of every size, rarely an invalid value.
    fn price(&mut self) -> Option<String> {
        let price = match self.dice.between(0, 99) {
            0..=49 => return Some(format!("{}", self.dice.between(-30, 99))),
            50..=69 => return Some(format!("{}.{:02}", self.dice.between(0, 99), self.dice.between(0, 99))),
            70..=89 => self.dice.pick(&PRICES),
            90..=92 => "null",
            93..=95 => self.dice.pick(&["1e-10", "1e29", "0.0000000001", "\"12\"", "true", "{}", "[1]"]),
            _ => return None,
        };
        Some(price.to_owned())
    }

    /// The input of distinct counts.
    fn user(&mut self) -> Option<String> {
        match self.dice.between(0, 99) {
            0..=79 => Some(format!("\"{}.u{}\"", self.key_of(self.clock), self.dice.between(1, 30))),
            80..=86 => Some(self.dice.pick(&["7", "\"7\"", "7.0", "true", "\"true\""]).to_owned()),
            87..=92 => Some("null".to_owned()),
            93..=94 => Some("[\"u1\"]".to_owned()),
            _ => None,
        }
    }

    /// Adds the event's time, in one of the forms that producers use.
    fn stamp(&mut self, draft: &mut Draft) {
        let text = EventTime(draft.time).to_string();
        let form = match self.dice.between(0, 9) {
            0..=5 => draft.time.to_string(),
            6 => format!("{}.75", draft.time),
            9 if self.has_long_fractions => format!("\"{}4567891234Z\"", text.trim_end_matches('Z')),
            _ => format!("\"{text}\""),
        };
        let name = self.settings.events.time_of(&self.settings.topics[draft.topic].0)[1..].to_owned();
        draft.members.retain(|(member, _)| *member != name);
        draft.members.push((name, form));
    }

    /// Gives the event a new ID, or rarely none.
    fn identify(&mut self, draft: &mut Draft) {
        let Some((pointer, scope)) = self.settings.events.id_of(&self.settings.topics[draft.topic].0) else {
            return;
        };
        let name = pointer[1..].to_owned();
        let last = self.ids.entry(scope.to_owned()).or_default();
        *last += 1;
        let last = *last;
        let id = match self.dice.between(0, 99) {
            0..=79 => last.to_string(),
            80..=89 => format!("\"{last}\""),
            90..=95 => format!("\"{}.u{last}\"", self.key_of(draft.time)),
            96..=97 => "null".to_owned(),
            _ => return,
        };
        draft.members.push((name, id));
    }

    /// The key of pseudonyms at an event time.
    fn key_of(&self, time: i64) -> &'static str {
        if time < self.rotated_at { "k1" } else { "k2" }
    }

    /// A duplicate of a recent or distant event, perhaps in another partition.
    fn copy(&mut self) {
        let draft = if self.written.is_empty() || self.dice.percent(20) { self.event() } else { self.past() };
        self.write(draft);
    }

    fn past(&mut self) -> Draft {
        let recent = self.written.len().saturating_sub(4);
        let at = if self.dice.percent(50) {
            recent + self.dice.index(self.written.len() - recent)
        } else {
            self.dice.index(self.written.len())
        };
        self.written[at].clone()
    }

    /// The ID of another event, at a time around the boundary at which both are one.
    fn same_id(&mut self) {
        if self.written.is_empty() {
            return self.copy();
        }
        let mut draft = self.past();
        let within = self.settings.events.id_within;
        let apart = self.dice.pick(&[within, within + 1, within - 1, within / 2, 2 * within, 20 * MINUTE]);
        draft.time += if self.dice.percent(50) { apart } else { -apart };
        self.stamp(&mut draft);
        self.write(draft);
    }

    /// An event that is rejected, and later its corrected copy.
    fn refused(&mut self) {
        let right = self.event();
        let mut wrong = right.clone();
        let topic = &self.settings.topics[wrong.topic].0;
        let events = &self.settings.events;
        let time = events.time_of(topic)[1..].to_owned();
        let id = events.id_of(topic).map_or("page", |(pointer, _)| &pointer[1..]).to_owned();
        let (name, value) = match self.dice.between(0, 9) {
            0..=4 => ("page".to_owned(), "{\"oops\":1}".to_owned()),
            5 => (time, "\"yesterday\"".to_owned()),
            6 => (time, "\"2023-13-01T00:00:00Z\"".to_owned()),
            7 => (time, (self.clock + 30 * DAY).to_string()),
            8 => (time, "null".to_owned()),
            _ => (id, "{\"is\":2}".to_owned()),
        };
        wrong.members.retain(|(member, _)| *member != name);
        wrong.members.push((name, value));
        self.record(wrong.topic, content(&wrong));
        self.corrections.push_back(right);
    }

    /// A click of an earlier view, about as late as a window is open.
    fn late_click(&mut self) {
        let views: Vec<usize> =
            (0..self.written.len()).filter(|&at| self.written[at].is("type", "\"view\"")).collect();
        if views.is_empty() {
            return self.copy();
        }
        let view = self.written[views[self.dice.index(views.len())]].clone();
        let joins = self.settings.flows().iter().filter_map(|flow| flow.join.as_ref());
        let within = joins.map(|join| join.within).max().unwrap_or(MINUTE);
        let time = view.time + self.dice.between(0, within + 30 * SECOND);
        let mut click = self.event_at(view.topic, time);
        click.members.retain(|(name, _)| !["type", "on", "of"].contains(&name.as_str()));
        click.members.push(("type".to_owned(), "\"click\"".to_owned()));
        if let Some((_, on)) = view.members.iter().find(|(name, _)| name == "on") {
            click.members.push(("on".to_owned(), on.clone()));
            click.members.push(("of".to_owned(), on.clone()));
        }
        self.write(click);
    }

    /// An event of a device that was offline for days, perhaps duplicated.
    fn old(&mut self) {
        let topic = self.dice.index(self.settings.topics.len());
        let time = self.clock - 2 * DAY;
        let draft = self.event_at(topic, time - time.rem_euclid(MINUTE));
        if self.dice.percent(60) {
            self.corrections.push_back(draft.clone());
        }
        self.write(draft);
    }

    fn write(&mut self, draft: Draft) {
        self.record(draft.topic, content(&draft));
        self.written.push(draft);
    }

    /// Adds a record to one of the topic's partitions.
    fn record(&mut self, topic: usize, content: Content) {
        let before: i32 = self.settings.topics[..topic].iter().map(|(_, count)| *count).sum();
        let number = self.dice.between(0, i64::from(self.settings.topics[topic].1) - 1);
        let jitter = self.dice.between(-2 * SECOND, 2 * SECOND);
        // One record in thirty has no timestamp.
        let has_time = self.has_timestamps && self.dice.percent(97);
        self.records.push(Record {
            number: self.records.len() as u32,
            partition: before as usize + number as usize,
            kafka_time: has_time.then_some(self.clock + jitter.max(0)),
            publish_time: self.clock + PUBLISHED + jitter,
            content,
        });
    }
}

impl Draft {
    fn is(&self, name: &str, value: &str) -> bool {
        self.members.iter().any(|(member, found)| member == name && found == value)
    }
}

fn content(draft: &Draft) -> Content {
    Content::Object(draft.members.clone())
}
