//! Random `[events]` and `[[flows]]`, as plain values that the model reads, and as the TOML that the product reads.

use std::collections::BTreeMap;

use crate::dice::Dice;

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// A configuration; all lengths are milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Topics with their number of partitions.
    pub(crate) topics: Vec<(String, i32)>,
    pub(crate) events: Events,
    /// The flows at first, and as they are edited later: the same flows in the same order. Restarts choose one of these.
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

/// One of `[[flows]]`.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) name: String,
    pub(crate) by: Vec<(String, String)>,
    /// Events that do not match are ignored.
    pub(crate) events: Option<Matcher>,
    /// `views` and `clicks`.
    pub(crate) ctr: Option<[Matcher; 2]>,
    pub(crate) measures: Vec<Measure>,
    /// Name, numerator, denominator and factor. One whose measures the flow lacks is left out.
    pub(crate) ratios: Vec<(String, [String; 2], i64)>,
    pub(crate) window: Window,
    pub(crate) time: Kind,
    pub(crate) out_of_orderness: i64,
    pub(crate) allowed_lateness: i64,
    pub(crate) early: Option<i64>,
    pub(crate) join: Option<Join>,
}

/// A stored measure.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) what: What,
    /// Which events feed it; all if there is none.
    pub(crate) events: Option<Matcher>,
}

/// What a measure makes of events, and the pointer to the value that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Count,
    Sum(&'static str),
    Min(&'static str),
    Max(&'static str),
    /// With or without the sketch in rows.
    Distinct(&'static str, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Size and period; both are the same where windows are fixed.
    Sliding(i64, i64),
    /// The gap.
    Session(i64),
    /// A unit and a time zone.
    Calendar(Unit, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Day,
    Week,
    Month,
}

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) view: String,
    pub(crate) click: String,
    pub(crate) within: i64,
}

/// Which time a flow goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Kafka,
    Processing,
}

/// Pairs that must all hold: `topic` or a pointer, and the values of which one must be there.
#[derive(Clone, Debug)]
pub(crate) struct Matcher(pub(crate) Vec<(String, Vec<Scalar>)>);

#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Text(&'static str),
    /// As TOML writes it. At most 15 digits behind a point, so that a double holds what is written.
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

    /// The flows before any edit.
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

    /// Where events of a topic have their id, and the topic within which it identifies them; any topic where it is
    /// declared for all.
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

impl Flow {
    /// A flow, and all measures that its edits choose from.
    fn roll(name: String, topics: usize, dice: &mut Dice) -> (Self, Vec<Measure>) {
        let mut window = Window::roll(dice);
        let mut allowed_lateness = lateness(dice);
        let ctr = dice.percent(65).then(|| matchers(topics, dice));
        let join = (ctr.is_some() && dice.percent(65)).then(|| {
            if matches!(window, Window::Session(_)) {
                window = Window::Sliding(5 * MINUTE, MINUTE);
            }
            let within = dice.pick(&[30 * SECOND, MINUTE, 3 * MINUTE, 10 * MINUTE]);
            // A lateness shorter than `within` is refused.
            allowed_lateness = allowed_lateness.max(within + dice.pick(&[0, 0, MINUTE, 5 * MINUTE]));
            let click = if dice.percent(70) { "/on" } else { "/of" };
            Join { view: "/on".to_owned(), click: click.to_owned(), within }
        });
        let mut by = vec![("page".to_owned(), "/page".to_owned())];
        if dice.percent(25) {
            by.push(("box".to_owned(), "/ctx/box".to_owned()));
        }
        let time =
            dice.pick(&[Kind::Event, Kind::Event, Kind::Event, Kind::Event, Kind::Kafka, Kind::Processing]);
        let out_of_orderness = dice.pick(&DISORDERS);
        let early = dice.percent(25).then(|| dice.pick(&[SECOND, 3 * SECOND]));
        let events = dice.percent(15).then(|| some_events(topics, dice));
        let least = i64::from(ctr.is_none());
        let pool: Vec<Measure> =
            (0..dice.between(least, 4)).map(|n| Measure::roll(format!("m{n}"), topics, dice)).collect();
        let known: Vec<String> =
            ["views", "clicks"].iter().map(|&name| name.to_owned()).chain(pool.iter().map(|m| m.name.clone())).collect();
        let ratios = (0..dice.between(0, 2)).map(|n| {
            let of = [(); 2].map(|()| known[dice.index(known.len())].clone());
            (format!("r{n}"), of, dice.pick(&[1, 1, 1_000]))
        });
        let ratios = ratios.collect();
        let mut flow = Self {
            name,
            by,
            events,
            ctr,
            measures: pool.clone(),
            ratios,
            window,
            time,
            out_of_orderness,
            allowed_lateness,
            early,
            join,
        };
        flow.measures = flow.some_of(&pool, dice);
        flow.keep_longer();
        (flow, pool)
    }

    /// The flow after an edit of what may change.
    fn edited(&self, pool: &[Measure], dice: &mut Dice) -> Self {
        let mut flow = self.clone();
        if dice.percent(40) {
            flow.out_of_orderness = dice.pick(&DISORDERS);
        }
        if dice.percent(40) {
            flow.allowed_lateness = lateness(dice);
        }
        if dice.percent(20) {
            flow.early = if flow.early.is_some() { None } else { Some(SECOND) };
        }
        if dice.percent(60) {
            flow.measures = flow.some_of(pool, dice);
        }
        flow.keep_longer();
        flow
    }

    /// Another meaning, which a running flow may not take on, and the key that says so. `before`: the flow as it ran.
    pub(crate) fn redefined(&self, before: &Self, kind: usize) -> Option<(Self, String)> {
        let mut flow = self.clone();
        let key = match kind % 6 {
            0 => {
                flow.by[0].1 = "/n".to_owned();
                "by".to_owned()
            }
            1 => {
                flow.window = Window::Sliding(11 * MINUTE, 11 * MINUTE);
                "window".to_owned()
            }
            2 => {
                flow.time = if self.time == Kind::Event { Kind::Kafka } else { Kind::Event };
                "time".to_owned()
            }
            3 => {
                flow.events = Some(Matcher(vec![("/never".to_owned(), vec![Scalar::Bool(true)])]));
                "where".to_owned()
            }
            4 => {
                flow.join.as_mut()?.within -= 1;
                "join".to_owned()
            }
            _ => {
                let measure = flow.measures.first_mut()?;
                before.measures.iter().find(|known| known.name == measure.name)?;
                measure.what = if measure.what == What::Sum("/n") { What::Min("/n") } else { What::Sum("/n") };
                format!("measures.{}", measure.name)
            }
        };
        Some((flow, key))
    }

    /// Some of the measures, in another order now and then; never nothing to count.
    fn some_of(&self, pool: &[Measure], dice: &mut Dice) -> Vec<Measure> {
        let mut chosen: Vec<Measure> = pool.iter().filter(|_| dice.percent(65)).cloned().collect();
        if chosen.is_empty() && self.ctr.is_none() {
            chosen.push(pool[0].clone());
        }
        if dice.percent(20) {
            chosen.reverse();
        }
        chosen
    }

    /// As long as the configuration demands it.
    pub(crate) fn keep_longer(&mut self) {
        let join = self.join.as_ref().map_or(0, |join| join.within);
        let gap = if let Window::Session(gap) = self.window { gap } else { 0 };
        self.allowed_lateness = self.allowed_lateness.max(join).max(gap);
    }

    /// The stored measures in the order of their columns.
    pub(crate) fn stored(&self) -> Vec<&str> {
        let ctr: &[&str] = match (&self.ctr, &self.join) {
            (None, _) => &[],
            (Some(_), None) => &["views", "clicks"],
            (Some(_), Some(_)) => &["views", "clicks", "attributed_clicks"],
        };
        ctr.iter().copied().chain(self.measures.iter().map(|measure| measure.name.as_str())).collect()
    }

    /// Ratios whose measures are there.
    pub(crate) fn shown_ratios(&self) -> Vec<&(String, [String; 2], i64)> {
        let stored = self.stored();
        self.ratios.iter().filter(|(_, of, _)| of.iter().all(|name| stored.contains(&name.as_str()))).collect()
    }

    /// About how long an event may be on its way and still count.
    pub(crate) fn reach(&self) -> i64 {
        let within = self.join.as_ref().map_or(0, |join| join.within);
        let size = match self.window {
            Window::Sliding(size, _) => size,
            Window::Session(gap) => 2 * gap,
            Window::Calendar(..) => 24 * 60 * MINUTE,
        };
        size + self.allowed_lateness + self.out_of_orderness + within
    }

    pub(crate) fn to_toml(&self) -> String {
        let by: Vec<String> =
            self.by.iter().map(|(column, pointer)| format!("{column} = {pointer:?}")).collect();
        let mut text = format!(
            "[[flows]]\nname = {:?}\nby = {{ {} }}\nwindow = {}\ntime = {:?}\nout_of_orderness = {:?}\n\
             allowed_lateness = {:?}\n",
            self.name,
            by.join(", "),
            self.window.to_toml(),
            self.time.name(),
            span(self.out_of_orderness),
            span(self.allowed_lateness),
        );
        if let Some(events) = &self.events {
            text.push_str(&format!("where = {}\n", events.to_toml()));
        }
        if let Some([views, clicks]) = &self.ctr {
            text.push_str(&format!("views = {}\nclicks = {}\n", views.to_toml(), clicks.to_toml()));
        }
        if let Some(early) = self.early {
            text.push_str(&format!("early = {:?}\n", span(early)));
        }
        if let Some(Join { view, click, within }) = &self.join {
            let on = if view == click {
                format!("{view:?}")
            } else {
                format!("{{ view = {view:?}, click = {click:?} }}")
            };
            text.push_str(&format!("join = {{ on = {on}, within = {:?} }}\n", span(*within)));
        }
        let ratios = self.shown_ratios().into_iter().map(|(name, [of, over], per)| {
            let per = if *per == 1 { String::new() } else { format!(", per = {per}") };
            format!("{name} = {{ ratio = [{of:?}, {over:?}]{per} }}\n")
        });
        let measures: String = self.measures.iter().map(Measure::to_toml).chain(ratios).collect();
        if !measures.is_empty() {
            text.push_str(&format!("[flows.measures]\n{measures}"));
        }
        text
    }
}

const DISORDERS: [i64; 5] = [0, 10 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE];

fn lateness(dice: &mut Dice) -> i64 {
    dice.pick(&[0, 0, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE])
}

/// A match that many events fulfil.
fn some_events(topics: usize, dice: &mut Dice) -> Matcher {
    let texts = |texts: &[&'static str]| texts.iter().map(|text| Scalar::Text(text)).collect();
    let pair = match dice.between(0, 9) {
        0..=2 => ("/type", texts(&["view", "both", "other"])),
        3..=4 => ("/type", texts(&["click", "both"])),
        5..=6 => ("/flag", vec![Scalar::Bool(dice.percent(50))]),
        7..=8 if topics > 1 => ("topic", texts(&[dice.pick(&["views", "clicks"])])),
        _ => ("/page", texts(&["a", "b"])),
    };
    Matcher(vec![(pair.0.to_owned(), pair.1)])
}

impl Measure {
    fn roll(name: String, topics: usize, dice: &mut Dice) -> Self {
        let what = match dice.between(0, 9) {
            0..=1 => What::Count,
            2..=4 => What::Sum("/price"),
            5 => What::Min("/price"),
            6 => What::Max("/price"),
            7..=8 => What::Distinct("/user", dice.percent(50)),
            _ => What::Distinct("/page", false),
        };
        Self { name, what, events: dice.percent(60).then(|| some_events(topics, dice)) }
    }

    fn to_toml(&self) -> String {
        let events = self.events.as_ref().map(Matcher::to_toml);
        let beside = events.as_ref().map_or_else(String::new, |events| format!(", where = {events}"));
        let body = match self.what {
            What::Count => format!("count = {}", events.unwrap_or_else(|| "{}".to_owned())),
            What::Sum(at) => format!("sum = {at:?}{beside}"),
            What::Min(at) => format!("min = {at:?}{beside}"),
            What::Max(at) => format!("max = {at:?}{beside}"),
            What::Distinct(at, false) => format!("distinct = {at:?}{beside}"),
            What::Distinct(at, true) => format!("distinct = {at:?}, sketch = true{beside}"),
        };
        format!("{} = {{ {body} }}\n", self.name)
    }
}

impl Window {
    fn roll(dice: &mut Dice) -> Self {
        match dice.between(0, 99) {
            0..=64 => {
                let shapes =
                    [(1_i64, 1_i64), (2, 2), (5, 5), (10, 10), (2, 1), (5, 1), (10, 5), (3, 2), (2, 3)];
                let (size, period) = dice.pick(&shapes);
                Self::Sliding(size * MINUTE, period * MINUTE)
            }
            65..=87 => Self::Session(dice.pick(&[1, 10 * SECOND, 30 * SECOND, MINUTE, 3 * MINUTE, 10 * MINUTE])),
            _ => {
                let zones = ["Europe/Warsaw", "Africa/Cairo", "America/Toronto", "Asia/Kathmandu"];
                Self::Calendar(dice.pick(&[Unit::Day, Unit::Day, Unit::Week, Unit::Month]), dice.pick(&zones))
            }
        }
    }

    fn to_toml(self) -> String {
        match self {
            Self::Sliding(size, period) if size == period => format!("{{ size = {:?} }}", span(size)),
            Self::Sliding(size, period) => {
                format!("{{ size = {:?}, period = {:?} }}", span(size), span(period))
            }
            Self::Session(gap) => format!("{{ session = {:?} }}", span(gap)),
            Self::Calendar(unit, zone) => {
                let size = match unit {
                    Unit::Day => "1d",
                    Unit::Week => "1w",
                    Unit::Month => "1mo",
                };
                format!("{{ size = {size:?}, timezone = {zone:?} }}")
            }
        }
    }
}

/// What counts as a view, and what as a click.
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

/// A length of time as a configuration writes it.
fn span(millis: i64) -> String {
    match millis {
        0 => "0s".to_owned(),
        _ if millis % MINUTE == 0 => format!("{}m", millis / MINUTE),
        _ if millis % SECOND == 0 => format!("{}s", millis / SECOND),
        _ => format!("{millis}ms"),
    }
}
