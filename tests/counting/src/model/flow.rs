//! One flow: its windows, its join and its ledger.

use std::collections::{BTreeMap, BTreeSet};

use crate::settings::{Flow, Join, Kind, Matcher};

use super::{
    Times,
    value::{Members, Value, at, holds},
};

pub(crate) type Key = Vec<Option<String>>;
/// Views, clicks, attributed clicks by the start of the window and the key.
pub(crate) type Rows = BTreeMap<(i64, Key), [i64; 3]>;
pub(crate) type Ledger = BTreeMap<&'static str, i64>;

#[derive(Clone)]
pub(super) struct FlowModel<'a> {
    pub(super) flow: &'a Flow,
    pub(super) watermark: i64,
    pub(super) rows: Rows,
    pub(super) ledger: Ledger,
    /// Views that clicks may still belong to.
    views: Vec<View>,
    clicks: Vec<Click>,
    /// Whether a window was over for something that belongs to it.
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
    view: Option<View>,
    is_pending: bool,
    is_forgotten: bool,
}

impl<'a> FlowModel<'a> {
    pub(super) fn new(flow: &'a Flow) -> Self {
        let (rows, ledger) = (Rows::new(), Ledger::new());
        Self {
            flow,
            watermark: i64::MIN,
            rows,
            ledger,
            views: Vec::new(),
            clicks: Vec::new(),
            is_late: false,
        }
    }

    pub(super) fn account(&mut self, outcome: &'static str, offsets: i64) {
        *self.ledger.entry(outcome).or_default() += offsets;
    }

    fn time(&self, times: Times) -> Option<i64> {
        match self.flow.time {
            Kind::Event => times.event,
            Kind::Kafka => times.kafka,
            Kind::Processing => Some(times.published.max(self.watermark)),
        }
    }

    /// Whether an event that is at most `within` from one at these times may still count.
    pub(super) fn needs(&self, times: Times, within: i64) -> bool {
        let time = if self.flow.time == Kind::Processing { Some(times.published) } else { self.time(times) };
        time.is_some_and(|time| time + within + self.flow.size + self.flow.allowed_lateness > self.watermark)
    }

    /// Accounts for an event; says how, and whether the rules leave that open.
    pub(super) fn event(&mut self, members: &Members<'_>, topic: &str, times: Times) -> (&'static str, bool) {
        let flow = self.flow;
        let (outcome, is_open) = match self.time(times) {
            None => ("rejected", false),
            Some(time) => {
                let is = |matcher: &Matcher| matcher.0.iter().all(|pair| holds(pair, members, topic));
                match (is(&flow.views), is(&flow.clicks), &flow.join) {
                    (false, false, _) => ("ignored", false),
                    (view, click, None) => {
                        (self.plain(members, time, [i64::from(view), i64::from(click), 0]), false)
                    }
                    (view, click, Some(join)) => self.joined(members, time, (view, click), join),
                }
            }
        };
        self.account(outcome, 1);
        self.rematch();
        (outcome, is_open)
    }

    fn plain(&mut self, members: &Members<'_>, time: i64, change: [i64; 3]) -> &'static str {
        let Some(key) = self.key(members) else { return "rejected" };
        self.change(&key, time, change);
        self.fate(time)
    }

    fn joined(
        &mut self,
        members: &Members<'_>,
        time: i64,
        (is_view, is_click): (bool, bool),
        join: &Join,
    ) -> (&'static str, bool) {
        let fate = self.fate(time);
        let mut is_open = false;
        if is_view {
            let Some(key) = self.key(members) else { return ("rejected", false) };
            self.change(&key, time, [1, 0, 0]);
            if let Some(on) = at(members, &join.view).scalar() {
                // A view that is forgotten as soon as it arrives may still give an outcome to a click that waits.
                let over = time.saturating_add(self.kept(join)) <= self.watermark;
                let could =
                    |click: &Click| click.on == on && (time..=time + join.within).contains(&click.time);
                is_open = over && self.clicks.iter().any(|click| click.is_pending && could(click));
                // Too late for the join, even where it lies between two windows and no count says so.
                self.is_late |= over;
                if !over {
                    self.views.push(View { on, time, key });
                }
            }
        }
        let on = at(members, &join.click).scalar();
        let has_click = is_click && fate == "counted" && on.is_some();
        if has_click {
            let (on, is_pending) = (on.unwrap_or_default(), !is_view);
            self.clicks.push(Click { on, time, view: None, is_pending, is_forgotten: false });
        }
        let of_click = if has_click { "pending" } else { "unmatched" };
        (if is_view || fate != "counted" { fate } else { of_click }, is_open)
    }

    /// How long behind their own time a view and a click are kept.
    fn kept(&self, join: &Join) -> i64 {
        join.within + self.flow.size + self.flow.allowed_lateness
    }

    /// Every click takes the newest view before it, and what that changes is counted.
    fn rematch(&mut self) {
        let Some(join) = &self.flow.join else { return };
        let before = assigned(&self.clicks);
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
        let after = assigned(&self.clicks);
        let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        for place in places {
            let [old, new] = [&before, &after].map(|counts| counts.get(&place).copied().unwrap_or_default());
            let (key, time) = place;
            self.change(&key, time, [0, new[0] - old[0], new[1] - old[1]]);
        }
    }

    pub(super) fn advance(&mut self, clock: i64) {
        let watermark =
            if clock == i64::MAX { clock } else { clock.saturating_sub(self.flow.out_of_orderness) };
        self.watermark = self.watermark.max(watermark);
        let Some(join) = &self.flow.join else { return };
        let kept = self.kept(join);
        let mut unmatched = 0;
        for click in self.clicks.iter_mut().filter(|click| click.time + kept <= self.watermark) {
            click.is_forgotten = true;
            unmatched += i64::from(std::mem::take(&mut click.is_pending));
        }
        self.account("pending", -unmatched);
        self.account("unmatched", unmatched);
    }

    /// The windows that hold a time, and whether each is over.
    fn windows(&self, time: i64) -> Vec<(i64, bool)> {
        let &Flow { size, period, allowed_lateness, .. } = self.flow;
        let starts = (0_i64..).map(|n| time - time.rem_euclid(period) - n * period);
        let holding = starts.take_while(|start| start + size > time);
        holding.map(|start| (start, start + size + allowed_lateness <= self.watermark)).collect()
    }

    fn fate(&self, time: i64) -> &'static str {
        match self.windows(time)[..] {
            [] => "ignored",
            ref windows if windows.iter().all(|(_, is_over)| *is_over) => "late",
            _ => "counted",
        }
    }

    /// Counts in every window that is not over.
    fn change(&mut self, key: &Key, time: i64, change: [i64; 3]) {
        if change == [0; 3] {
            return;
        }
        for (start, is_over) in self.windows(time) {
            if is_over {
                self.is_late = true;
                continue;
            }
            let counts = self.rows.entry((start, key.clone())).or_default();
            (0..3).for_each(|n| counts[n] += change[n]);
        }
    }

    /// The values of the columns; nothing where one of them is no scalar.
    fn key(&self, members: &Members<'_>) -> Option<Key> {
        let column = |(_, pointer): &(String, String)| match at(members, pointer) {
            Value::Container => None,
            value => Some(value.scalar()),
        };
        self.flow.by.iter().map(column).collect()
    }
}

/// What clicks and their views count, by key and time: clicks, and distinct clicked views.
fn assigned(clicks: &[Click]) -> BTreeMap<(Key, i64), [i64; 2]> {
    let mut counts: BTreeMap<(Key, i64), [i64; 2]> = BTreeMap::new();
    let matched = || clicks.iter().filter_map(|click| click.view.as_ref().map(|view| (click, view)));
    for (click, view) in matched() {
        counts.entry((view.key.clone(), click.time)).or_default()[0] += 1;
    }
    let clicked: BTreeSet<&View> = matched().map(|(_, view)| view).collect();
    for view in clicked {
        counts.entry((view.key.clone(), view.time)).or_default()[1] += 1;
    }
    counts
}
