//! Random `[events]` and `[[flows]]`, as plain values that the model reads, and as the TOML that the product reads.

use std::collections::BTreeMap;

use crate::dice::Dice;

mod flow;

pub(crate) use self::flow::{Flow, Join, Measure, Unit, What, Window};

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// A configuration; all lengths are milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Topics with their number of partitions.
    pub(crate) topics: Vec<(String, i32)>,
    pub(crate) events: Events,
    /// The initial flows and their later editions: the same flows in the same order. Restarts choose one of these.
    pub(crate) editions: Vec<Vec<Flow>>,
}

/// `[events]`.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(crate) time: String,
    pub(crate) future: i64,
    pub(crate) id: Option<String>,
    pub(crate) id_within: i64,
    /// `[events.topics]`: pointers to time and id.
    pub(crate) topics: BTreeMap<String, (Option<String>, Option<String>)>,
}

/// The kind of time of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Kafka,
    Processing,
}

/// Pairs that must all match: `topic` or a pointer, and the accepted values.
#[derive(Clone, Debug)]
pub(crate) struct Matcher(pub(crate) Vec<(String, Vec<Scalar>)>);

#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Text(&'static str),
    /// As written in TOML. At most 15 digits after the point, so that a double represents it.
    Number(&'static str),
    Bool(bool),
}

/// Numbers of matchers.
const NUMBERS: [&str; 9] =
    ["1234567890123456789", "9007199254740993", "0.1", "100", "1e2", "2.5", "0", "-0.5", "100.0"];

impl Settings {
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        let topics = if dice.percent(50) {
            vec![("events".to_owned(), dice.between(1, 2) as i32)]
        } else {
            vec![("views".to_owned(), dice.between(1, 2) as i32), ("clicks".to_owned(), 1)]
        };
        let events = Events::roll(&topics, dice);
        let rolled: Vec<(Flow, Vec<Measure>)> =
            (0..dice.between(1, 3)).map(|n| Flow::roll(format!("f{n}"), topics.len(), dice)).collect();
        let flows: Vec<Flow> = rolled.iter().map(|(flow, _)| flow.clone()).collect();
        let mut editions = vec![flows];
        for _ in 0..dice.pick(&[0, 0, 1, 3]) {
            editions.push(rolled.iter().map(|(flow, measures)| flow.edited(measures, dice)).collect());
        }
        Self { topics, events, editions }
    }

    /// The initial flows.
    pub(crate) fn flows(&self) -> &[Flow] {
        &self.editions[0]
    }

    /// Every partition: topic and number.
    pub(crate) fn partitions(&self) -> Vec<(&str, i32)> {
        self.topics.iter().flat_map(|(topic, count)| (0..*count).map(move |n| (topic.as_str(), n))).collect()
    }

    /// `[events]` and `[[flows]]`.
    pub(crate) fn to_toml(&self, edition: usize) -> String {
        self.with_flows(&self.editions[edition])
    }

    /// `[events]` with other flows.
    pub(crate) fn with_flows(&self, flows: &[Flow]) -> String {
        let flows: String = flows.iter().map(Flow::to_toml).collect();
        self.events.to_toml() + &flows
    }
}

impl Events {
    fn roll(topics: &[(String, i32)], dice: &mut Dice) -> Self {
        let mut own: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
        let mut id = None;
        match dice.between(0, 9) {
            0..=2 => {}
            3..=6 => id = Some("/id".to_owned()),
            7..=8 => {
                for (topic, _) in topics {
                    own.entry(topic.clone()).or_default().1 = Some("/no".to_owned());
                }
            }
            _ => {
                id = Some("/id".to_owned());
                own.entry(topics[0].0.clone()).or_default().1 = Some("/no".to_owned());
            }
        }
        if dice.percent(15) {
            own.entry(topics[dice.index(topics.len())].0.clone()).or_default().0 = Some("/at".to_owned());
        }
        let id_within = dice.pick(&[0, 30 * SECOND, MINUTE, 10 * MINUTE]);
        Self { time: "/time".to_owned(), future: 10 * MINUTE, id, id_within, topics: own }
    }

    pub(crate) fn time_of(&self, topic: &str) -> &str {
        self.topics.get(topic).and_then(|own| own.0.as_deref()).unwrap_or(&self.time)
    }

    /// The ID pointer of a topic, and the topic within which it identifies events; any topic if it is declared for all.
    pub(crate) fn id_of<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        match self.topics.get(topic).and_then(|own| own.1.as_deref()) {
            Some(pointer) => Some((pointer, topic)),
            None => self.id.as_deref().map(|pointer| (pointer, "")),
        }
    }

    fn to_toml(&self) -> String {
        let mut text = format!("[events]\ntime = {:?}\nfuture = {:?}\n", self.time, span(self.future));
        if let Some(id) = &self.id {
            text.push_str(&format!("id = {id:?}\n"));
        }
        text.push_str(&format!("id_within = {:?}\n", span(self.id_within)));
        for (topic, (time, id)) in &self.topics {
            text.push_str(&format!("[events.topics.{topic}]\n"));
            for (name, pointer) in [("time", time), ("id", id)] {
                if let Some(pointer) = pointer {
                    text.push_str(&format!("{name} = {pointer:?}\n"));
                }
            }
        }
        text
    }
}

/// The matchers of views and clicks.
fn matchers(topics: usize, dice: &mut Dice) -> [Matcher; 2] {
    let kind = |kind| ("/type".to_owned(), vec![Scalar::Text(kind), Scalar::Text("both")]);
    let clicks = Matcher(vec![kind("click")]);
    match dice.between(0, 9) {
        0..=4 => [Matcher(vec![kind("view")]), clicks],
        5 if topics > 1 => {
            let topic = |name| Matcher(vec![("topic".to_owned(), vec![Scalar::Text(name)])]);
            [topic("views"), topic("clicks")]
        }
        5..=6 => {
            let flag = |flag| ("/flag".to_owned(), vec![Scalar::Bool(flag)]);
            [Matcher(vec![kind("view"), flag(true)]), Matcher(vec![kind("click"), flag(false)])]
        }
        7..=8 => {
            let numbers = (0..dice.between(1, 2)).map(|_| Scalar::Number(dice.pick(&NUMBERS))).collect();
            [Matcher(vec![("/n".to_owned(), numbers)]), clicks]
        }
        _ => {
            let any = vec![Scalar::Number(dice.pick(&NUMBERS)), Scalar::Text("0.1"), Scalar::Bool(true)];
            [Matcher(vec![("/n".to_owned(), any), kind("view")]), clicks]
        }
    }
}

impl Matcher {
    fn to_toml(&self) -> String {
        let pairs = self.0.iter().map(|(subject, any_of)| {
            let subject = if subject == "topic" { subject.clone() } else { format!("{subject:?}") };
            let values: Vec<String> = any_of.iter().map(Scalar::to_toml).collect();
            match &values[..] {
                [value] => format!("{subject} = {value}"),
                values => format!("{subject} = [{}]", values.join(", ")),
            }
        });
        format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
    }
}

impl Scalar {
    fn to_toml(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => (*number).to_owned(),
            Self::Bool(value) => value.to_string(),
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Kafka => "kafka",
            Self::Processing => "processing",
        }
    }
}

/// A duration in the format of the configuration.
fn span(millis: i64) -> String {
    match millis {
        0 => "0s".to_owned(),
        _ if millis % MINUTE == 0 => format!("{}m", millis / MINUTE),
        _ if millis % SECOND == 0 => format!("{}s", millis / SECOND),
        _ => format!("{millis}ms"),
    }
}
