//! Random flows with measures, windows and edits.

use crate::dice::Dice;

use super::{Kind, MINUTE, Matcher, SECOND, Scalar, matchers, span};

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
    /// Name, numerator, denominator and factor. Omitted if the flow lacks its measures.
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
    /// The matcher; all events without one.
    pub(crate) events: Option<Matcher>,
}

/// The kind of a measure, and the pointer to its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Count,
    Sum(&'static str),
    Min(&'static str),
    Max(&'static str),
    /// Whether rows contain the sketch.
    Distinct(&'static str, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Size and period, which are equal for fixed windows.
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

impl Flow {
    /// A flow, and all measures of its editions.
    pub(super) fn roll(name: String, topics: usize, dice: &mut Dice) -> (Self, Vec<Measure>) {
        let mut window = Window::roll(dice);
        let mut allowed_lateness = lateness(dice);
        let ctr = dice.percent(65).then(|| matchers(topics, dice));
        let join = (ctr.is_some() && dice.percent(65)).then(|| {
            if matches!(window, Window::Session(_)) {
                window = Window::Sliding(5 * MINUTE, MINUTE);
            }
            let within = dice.pick(&[30 * SECOND, MINUTE, 3 * MINUTE, 10 * MINUTE]);
            // A lateness shorter than `within` is invalid.
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
        let known: Vec<String> = ["views", "clicks"]
            .iter()
            .map(|&name| name.to_owned())
            .chain(pool.iter().map(|m| m.name.clone()))
            .collect();
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

    /// The flow after an allowed edit.
    pub(super) fn edited(&self, pool: &[Measure], dice: &mut Dice) -> Self {
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

    /// A forbidden edit of a running flow, and its key. `before`: the flow as it ran.
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
                measure.what =
                    if measure.what == What::Sum("/n") { What::Min("/n") } else { What::Sum("/n") };
                format!("measures.{}", measure.name)
            }
        };
        Some((flow, key))
    }

    /// Some of the measures, sometimes reordered; never only ratios.
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

    /// As long as the configuration requires.
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

    /// Ratios whose measures exist.
    pub(crate) fn shown_ratios(&self) -> Vec<&(String, [String; 2], i64)> {
        let stored = self.stored();
        self.ratios
            .iter()
            .filter(|(_, of, _)| of.iter().all(|name| stored.contains(&name.as_str())))
            .collect()
    }

    /// Approximately how late an event may be and still count.
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

/// A matcher that many events match.
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
                let shapes = [
                    (1_i64, 1_i64),
                    (2, 2),
                    (5, 5),
                    (10, 10),
                    (2, 1),
                    (5, 1),
                    (10, 5),
                    (3, 2),
                    (2, 3),
                    (1, 5),
                ];
                let (size, period) = dice.pick(&shapes);
                Self::Sliding(size * MINUTE, period * MINUTE)
            }
            65..=87 => {
                Self::Session(dice.pick(&[1, 10 * SECOND, 30 * SECOND, MINUTE, 3 * MINUTE, 10 * MINUTE]))
            }
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
