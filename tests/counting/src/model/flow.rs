//! One flow: its windows, its join, its ledger, and what an edit changes.
//!
//! A cell is the list of everything that was counted in it; values are computed on demand, and so are sessions, from
//! all events of a key.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::settings::{Flow, Join, Kind, Matcher, What, Window};

use super::{
    Times, calendar,
    value::{Members, Value, at, billionths, decimal_text, holds},
};

pub(crate) type Key = Vec<Option<String>>;
/// Start and end of a window, and the key.
pub(crate) type Place = ((i64, i64), Key);
pub(crate) type Ledger = BTreeMap<&'static str, i64>;
/// The contents of a cell.
type Changes = Vec<Change>;

/// The value of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Null,
    Count(i64),
    Number(String),
    Distinct(BTreeSet<String>),
}

/// The input of a measure from an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    Event,
    /// In billionths.
    Number(i128),
    Item(String),
}

type Feeds = BTreeMap<String, Input>;

/// Whether an event counts or is retracted.
#[derive(Clone)]
pub(crate) struct Change {
    /// The index of the action.
    action: usize,
    time: i64,
    feeds: Rc<Feeds>,
    times: i64,
}

/// The flow as it runs, and since when its added measures count.
#[derive(Clone)]
pub(crate) struct Epoch<'a> {
    pub(crate) flow: &'a Flow,
    since: BTreeMap<&'a str, i64>,
}

#[derive(Clone)]
pub(crate) struct FlowModel<'a> {
    pub(crate) epoch: Epoch<'a>,
    pub(super) action: usize,
    pub(super) watermark: i64,
    /// Windows that end at or before it are closed.
    closed: i64,
    /// The newest time of an event that was read.
    newest: i64,
    cells: BTreeMap<Place, Changes>,
    /// Replaces cells if the windows are sessions.
    events: BTreeMap<Key, Changes>,
    pub(crate) ledger: Ledger,
    /// Views that clicks may still match.
    views: Vec<View>,
    clicks: Vec<Click>,
    /// Whether a window was closed for something that belongs to it.
    pub(super) is_late: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    on: String,
    time: i64,
    key: Key,
}

#[derive(Clone)]
struct Click {
    on: String,
    time: i64,
    /// The inputs that move with it.
    feeds: Rc<Feeds>,
    view: Option<View>,
    is_pending: bool,
    is_forgotten: bool,
}

impl<'a> FlowModel<'a> {
    pub(super) fn new(flow: &'a Flow) -> Self {
        Self {
            epoch: Epoch { flow, since: BTreeMap::new() },
            action: 0,
            watermark: i64::MIN,
            closed: i64::MIN,
            newest: i64::MIN,
            cells: BTreeMap::new(),
            events: BTreeMap::new(),
            ledger: Ledger::new(),
            views: Vec::new(),
            clicks: Vec::new(),
            is_late: false,
        }
    }

    /// Continues with another edition of the flow.
    pub(super) fn edit(&mut self, flow: &'a Flow) {
        let (before, begin) = (self.epoch.flow.stored(), self.watermark.max(self.newest.saturating_add(1)));
        let since = flow.stored().into_iter().map(|name| match before.contains(&name) {
            true => (name, self.epoch.since.get(name).copied().unwrap_or(i64::MIN)),
            false => (name, begin),
        });
        self.epoch = Epoch { since: since.collect(), flow };
        self.close();
        self.forget();
    }

    pub(super) fn account(&mut self, outcome: &'static str, offsets: i64) {
        *self.ledger.entry(outcome).or_default() += offsets;
    }

    fn time(&self, times: Times) -> Option<i64> {
        match self.epoch.flow.time {
            Kind::Event => times.event,
            Kind::Kafka => times.kafka,
            Kind::Processing => Some(times.published.max(self.watermark)),
        }
    }

    /// Whether an event that is at most `within` from one at these times may still count.
    pub(super) fn needs(&self, times: Times, within: i64) -> bool {
        let flow = self.epoch.flow;
        let time = if flow.time == Kind::Processing { Some(times.published) } else { self.time(times) };
        let end = |time: i64| match flow.window {
            Window::Sliding(size, _) => time + size,
            Window::Session(gap) => time + gap,
            Window::Calendar(unit, zone) => calendar::holding(unit, zone, time).1,
        };
        time.is_some_and(|time| end(time + within) > self.closed)
    }

    /// Accounts for an event. Returns the outcome, and whether the rules leave it open.
    pub(super) fn event(&mut self, members: &Members<'_>, topic: &str, times: Times) -> (&'static str, bool) {
        let (outcome, is_open) = match self.time(times) {
            None => ("rejected", false),
            Some(time) => {
                self.newest = self.newest.max(time);
                match self.feeds(members, topic) {
                    None => ("rejected", false),
                    Some(feeds) if feeds.is_empty() => ("ignored", false),
                    Some(feeds) => self.counted(members, time, feeds),
                }
            }
        };
        self.account(outcome, 1);
        self.rematch();
        (outcome, is_open)
    }

    /// The inputs of the measures; `None` if a measure rejects the event.
    fn feeds(&self, members: &Members<'_>, topic: &str) -> Option<Feeds> {
        let flow = self.epoch.flow;
        let is = |matcher: &Matcher| matcher.0.iter().all(|pair| holds(pair, members, topic));
        let mut feeds = Feeds::new();
        if !flow.events.as_ref().is_none_or(is) {
            return Some(feeds);
        }
        for (name, matcher) in ["views", "clicks"].into_iter().zip(flow.ctr.iter().flatten()) {
            if is(matcher) {
                feeds.insert(name.to_owned(), Input::Event);
            }
        }
        for measure in flow.measures.iter().filter(|measure| measure.events.as_ref().is_none_or(is)) {
            let input = match measure.what {
                What::Count => Input::Event,
                What::Sum(pointer) | What::Min(pointer) | What::Max(pointer) => match at(members, pointer) {
                    Value::Absent => continue,
                    Value::Number(number) => Input::Number(billionths(&number)?),
                    Value::Text(_) | Value::Bool(_) | Value::Container => return None,
                },
                What::Distinct(pointer, _) => match at(members, pointer) {
                    Value::Absent => continue,
                    value => Input::Item(value.scalar()?),
                },
            };
            feeds.insert(measure.name.clone(), input);
        }
        Some(feeds)
    }

    fn counted(&mut self, members: &Members<'_>, time: i64, feeds: Feeds) -> (&'static str, bool) {
        let flow = self.epoch.flow;
        let (is_view, is_click) = (feeds.contains_key("views"), feeds.contains_key("clicks"));
        let Some(join) = flow.join.as_ref().filter(|_| is_view || is_click) else {
            let Some(key) = self.key(members) else { return ("rejected", false) };
            self.change(&key, time, &Rc::new(feeds), 1);
            return (self.fate(time), false);
        };
        let fate = self.fate(time);
        let mut is_open = false;
        let mut of_click = feeds.clone();
        if is_view {
            let Some(key) = self.key(members) else { return ("rejected", false) };
            let mut own = feeds;
            own.remove("clicks");
            self.change(&key, time, &Rc::new(own), 1);
            of_click.retain(|name, _| name == "clicks");
            if let Some(on) = at(members, &join.view).scalar() {
                // A view that is dropped on arrival may still resolve a waiting click.
                let over = time.saturating_add(self.kept(join)) <= self.watermark;
                let could =
                    |click: &Click| click.on == on && (time..=time + join.within).contains(&click.time);
                is_open = over && self.clicks.iter().any(|click| click.is_pending && could(click));
                // Too late for the join, even between two windows, where no count shows it.
                self.is_late |= over;
                if !over {
                    self.views.push(View { on, time, key });
                }
            }
        }
        let on = at(members, &join.click).scalar();
        // Between two windows a click counts in none, but its view may be in the one before.
        let takes_click = fate == "counted" || fate == "ignored" && !self.is_past(time);
        self.is_late |= is_click && !takes_click;
        let has_click = is_click && takes_click && on.is_some();
        if has_click {
            let (on, is_pending, feeds) = (on.unwrap_or_default(), !is_view, Rc::new(of_click));
            self.clicks.push(Click { on, time, feeds, view: None, is_pending, is_forgotten: false });
        }
        let of_click = if has_click { "pending" } else { "unmatched" };
        (if is_view || !takes_click { fate } else { of_click }, is_open)
    }

    /// Whether every window that begins at or before a time is over.
    fn is_past(&self, time: i64) -> bool {
        match self.epoch.flow.window {
            Window::Sliding(size, period) => time - time.rem_euclid(period) + size <= self.closed,
            Window::Session(_) | Window::Calendar(..) => false,
        }
    }

    /// How long a view and a click are kept after their time.
    fn kept(&self, join: &Join) -> i64 {
        let Flow { window, allowed_lateness, .. } = self.epoch.flow;
        let size = match *window {
            Window::Sliding(size, _) => size,
            Window::Session(gap) => gap,
            Window::Calendar(unit, _) => calendar::longest(unit),
        };
        join.within + size + allowed_lateness
    }

    /// Assigns every click to the newest view before it, and counts the changes.
    fn rematch(&mut self) {
        let Some(join) = &self.epoch.flow.join else { return };
        let before = self.clicks.clone();
        let mut found = 0;
        for click in self.clicks.iter_mut().filter(|click| !click.is_forgotten) {
            let fits = |view: &&View| {
                view.on == click.on && (view.time..=view.time + join.within).contains(&click.time)
            };
            let newest = self.views.iter().filter(fits).min_by_key(|view| (-view.time, &view.key));
            click.view = newest.cloned();
            if click.view.is_some() && std::mem::take(&mut click.is_pending) {
                found += 1;
            }
        }
        self.account("pending", -found);
        self.account("counted", found);
        for (old, new) in before.iter().zip(self.clicks.clone()) {
            let [from, to] = [&old.view, &new.view].map(|view| view.as_ref().map(|view| &view.key));
            if from != to {
                from.into_iter().for_each(|key| self.change(key, new.time, &new.feeds, -1));
                to.into_iter().for_each(|key| self.change(key, new.time, &new.feeds, 1));
            }
        }
        let attributed = Rc::new(Feeds::from([("attributed_clicks".to_owned(), Input::Event)]));
        let clicked = |clicks: &[Click]| clicks.iter().filter_map(|click| click.view.clone()).collect();
        let (old, new): (BTreeSet<View>, BTreeSet<View>) = (clicked(&before), clicked(&self.clicks));
        old.difference(&new).for_each(|view| self.change(&view.key, view.time, &attributed, -1));
        new.difference(&old).for_each(|view| self.change(&view.key, view.time, &attributed, 1));
    }

    pub(super) fn advance(&mut self, clock: i64) {
        let watermark = match clock {
            i64::MAX => clock,
            _ => clock.saturating_sub(self.epoch.flow.out_of_orderness),
        };
        self.watermark = self.watermark.max(watermark);
        self.close();
        self.forget();
    }

    /// Gives up clicks that are kept no longer, by whole seconds of the watermark: also where an edit keeps them for less
    /// time, and a later edit does not bring them back.
    fn forget(&mut self) {
        let Some(join) = &self.epoch.flow.join else { return };
        let (kept, reached) =
            (self.kept(join), self.watermark.saturating_sub(self.watermark.rem_euclid(1_000)));
        let mut unmatched = 0;
        for click in self.clicks.iter_mut().filter(|click| click.time + kept <= reached) {
            click.is_forgotten = true;
            unmatched += i64::from(std::mem::take(&mut click.is_pending));
        }
        self.account("pending", -unmatched);
        self.account("unmatched", unmatched);
    }

    fn close(&mut self) {
        self.closed = self.closed.max(self.watermark.saturating_sub(self.epoch.flow.allowed_lateness));
    }

    /// The windows that contain a time; for a session, that of the event alone.
    fn windows(&self, time: i64) -> Vec<(i64, i64)> {
        match self.epoch.flow.window {
            Window::Sliding(size, period) => {
                let starts = (0_i64..).map(|n| time - time.rem_euclid(period) - n * period);
                starts.take_while(|start| start + size > time).map(|start| (start, start + size)).collect()
            }
            Window::Session(gap) => vec![(time, time + gap)],
            Window::Calendar(unit, zone) => vec![calendar::holding(unit, zone, time)],
        }
    }

    fn fate(&self, time: i64) -> &'static str {
        match self.windows(time)[..] {
            [] => "ignored",
            ref windows if windows.iter().all(|(_, end)| *end <= self.closed) => "late",
            _ => "counted",
        }
    }

    /// Counts in every open window.
    fn change(&mut self, key: &Key, time: i64, feeds: &Rc<Feeds>, times: i64) {
        let (closed, action) = (self.closed, self.action);
        for window in self.windows(time) {
            if window.1 <= closed {
                self.is_late = true;
                continue;
            }
            let changes = match self.epoch.flow.window {
                Window::Session(_) => self.events.entry(key.clone()).or_default(),
                _ => self.cells.entry((window, key.clone())).or_default(),
            };
            changes.push(Change { action, time, feeds: feeds.clone(), times });
        }
    }

    /// The values of the columns; `None` if one is not a scalar.
    fn key(&self, members: &Members<'_>) -> Option<Key> {
        let column = |(_, pointer): &(String, String)| match at(members, pointer) {
            Value::Container => None,
            value => Some(value.scalar()),
        };
        self.epoch.flow.by.iter().map(column).collect()
    }

    /// All windows with their contents.
    pub(crate) fn places(&self) -> BTreeMap<Place, Changes> {
        let sessions = self.events.keys().flat_map(|key| {
            self.sessions(key, usize::MAX)
                .into_iter()
                .map(|(window, changes)| ((window, key.clone()), changes))
        });
        self.cells.iter().map(|(place, changes)| (place.clone(), changes.clone())).chain(sessions).collect()
    }

    /// The contents of a window at the end of an action; `None` if it does not exist.
    pub(crate) fn cell(&self, place: &Place, action: usize) -> Option<Changes> {
        if matches!(self.epoch.flow.window, Window::Session(_)) {
            let sessions = self.sessions(&place.1, action);
            return sessions.into_iter().find(|(window, _)| *window == place.0).map(|(_, changes)| changes);
        }
        let changes = self.cells.get(place)?.iter();
        Some(changes.filter(|change| change.action <= action).cloned().collect())
    }

    fn sessions(&self, key: &Key, action: usize) -> Vec<((i64, i64), Changes)> {
        let Window::Session(gap) = self.epoch.flow.window else { return Vec::new() };
        let mut events: Changes = self.events.get(key).into_iter().flatten().cloned().collect();
        events.retain(|change| change.action <= action);
        events.sort_by_key(|change| change.time);
        let mut sessions: Vec<((i64, i64), Changes)> = Vec::new();
        for event in events {
            match sessions.last_mut() {
                Some(((_, end), changes)) if event.time < *end => {
                    *end = event.time + gap;
                    changes.push(event);
                }
                _ => sessions.push(((event.time, event.time + gap), vec![event])),
            }
        }
        sessions
    }
}

impl Epoch<'_> {
    /// The values of a row, in the order of the columns.
    pub(crate) fn values(&self, place: &Place, changes: &[Change]) -> Vec<Expected> {
        let value = |name: &str| {
            if self.since.get(name).is_some_and(|since| place.0.0 < *since) {
                return Expected::Null;
            }
            let measure = self.flow.measures.iter().find(|measure| measure.name == name);
            value(measure.map_or(What::Count, |measure| measure.what), name, changes)
        };
        self.flow.stored().into_iter().map(value).collect()
    }
}

fn value(what: What, name: &str, changes: &[Change]) -> Expected {
    let mut inputs: BTreeMap<&Input, i64> = BTreeMap::new();
    for change in changes {
        if let Some(input) = change.feeds.get(name) {
            *inputs.entry(input).or_default() += change.times;
        }
    }
    inputs.retain(|_, times| *times != 0);
    let mut numbers = inputs.iter().filter_map(|(input, times)| match input {
        Input::Number(number) => Some((*number, *times)),
        Input::Event | Input::Item(_) => None,
    });
    let number = |number: Option<(i128, i64)>| {
        number.map_or(Expected::Null, |(number, _)| Expected::Number(decimal_text(&[(number, 1)])))
    };
    match what {
        What::Count => Expected::Count(inputs.values().sum()),
        What::Sum(_) => Expected::Number(decimal_text(&numbers.collect::<Vec<_>>())),
        What::Min(_) => number(numbers.next()),
        What::Max(_) => number(numbers.next_back()),
        What::Distinct(..) => {
            let items = inputs.keys().filter_map(|input| match input {
                Input::Item(item) => Some(item.clone()),
                Input::Event | Input::Number(_) => None,
            });
            Expected::Distinct(items.collect())
        }
    }
}
