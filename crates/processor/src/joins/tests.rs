use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::saved::Room;

const WITHIN: Millis = Millis(10);
const SIZE: i64 = 7;

fn key(name: u8) -> Key {
    [Some(name.to_string())].into_iter().collect()
}

fn windows(size: i64) -> Windows {
    Windows::sliding(Millis(size), Millis(size)).expect("a size above 0")
}

/// A join over windows of a size. The clicks' prices are summed as well.
fn join(within: Millis, size: i64, lateness: i64, limit: usize) -> Joins {
    let settings: flow::FlowSettings = serde_json::from_value(serde_json::json!({
        "name": "f", "by": { "page": "/page" }, "views": { "/type": "view" }, "clicks": { "/type": "click" },
        "window": { "size": format!("{size}ms") }, "allowed_lateness": format!("{lateness}ms"),
        "join": { "on": "/on", "within": "0s", "limit": limit }, "measures": { "paid": { "sum": "/price" } },
    }))
    .expect("a flow");
    let flow = Flow::try_from(settings).expect("a flow that makes sense");
    let join = Join { within, ..flow.join.clone().expect("it has a join") };
    Joins::new(&join, windows(size), &flow)
}

fn joins(limit: usize) -> Joins {
    join(WITHIN, SIZE, 20, limit)
}

/// The bits of the measures, as the flow has them.
const CLICKS: Feeds = 1 << 1;
const ATTRIBUTED: Feeds = 1 << 2;
const PAID: Feeds = 1 << 3;

/// Every third click pays its name.
fn more(time: i64, name: u8) -> Option<Box<More>> {
    let price = flow::number::Amount::parse(&name.to_string()).expect("it fits");
    (time % 3 == 0).then(|| Box::new(More { feeds: PAID, inputs: [Input::Number(price)].into() }))
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    is_view: bool,
    time: i64,
    name: u8,
}

/// Clicks by key and window, attributed views by key and time, and clicks that paid something by key, window and price.
type Totals = BTreeMap<(Key, i64, u8), i64>;

const OF_CLICKS: u8 = 0;
const OF_VIEWS: u8 = 1;
const OF_PRICES: u8 = 2;

/// What the totals must be, from the definition alone.
fn expected(arrivals: &[Arrival]) -> (Totals, u64) {
    let views: BTreeSet<(i64, Key)> =
        arrivals.iter().filter(|a| a.is_view).map(|a| (a.time, key(a.name))).collect();
    let (mut totals, mut attributed, mut found) = (Totals::new(), BTreeSet::new(), 0);
    for click in arrivals.iter().filter(|a| !a.is_view) {
        let newest = views.iter().filter(|(time, _)| *time <= click.time && click.time <= time + WITHIN.0);
        let Some(time) = newest.map(|(time, _)| *time).max() else { continue };
        let (_, key) = views.iter().find(|(other, _)| *other == time).expect("it was just found");
        *totals.entry((key.clone(), click.time.div_euclid(SIZE), OF_CLICKS)).or_default() += 1;
        if click.time % 3 == 0 {
            *totals.entry((key.clone(), click.time.div_euclid(SIZE), OF_PRICES + click.name)).or_default() +=
                1;
        }
        attributed.insert((key.clone(), time));
        found += 1;
    }
    totals.extend(attributed.into_iter().map(|(key, time)| ((key, time, OF_VIEWS), 1)));
    (totals, found)
}

#[derive(Default)]
struct Sums {
    totals: Totals,
    found: u64,
}

impl Sums {
    fn apply(&mut self, joins: &mut Joins, arrival: Arrival) -> usize {
        self.apply_to(1, joins, arrival)
    }

    fn apply_to(&mut self, on: u128, joins: &mut Joins, arrival: Arrival) -> usize {
        let mut effects = Effects::default();
        let time = EventTime(arrival.time);
        if arrival.is_view {
            joins.view(on, time, HashedKey::new(key(arrival.name).as_pushed()), &mut effects);
        } else {
            let more = more(arrival.time, arrival.name);
            self.found += u64::from(joins.click(on, (time, true), more, &mut effects) == Clicked::Found);
        }
        self.found += effects.found;
        let changes = effects.changes.len();
        for (key, time, moved) in effects.changes {
            let change = moved.change();
            let window = time.0.div_euclid(SIZE);
            let place = match (change.feeds, change.inputs) {
                (CLICKS, []) => (key, window, OF_CLICKS),
                (ATTRIBUTED, []) => (key, time.0, OF_VIEWS),
                (PAID, [Input::Number(price)]) => {
                    (key, window, OF_PRICES + price.to_string().parse::<u8>().expect("a name"))
                }
                other => panic!("{other:?}"),
            };
            *self.totals.entry(place).or_default() += change.times;
        }
        self.totals.retain(|_, total| *total != 0);
        changes
    }
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival =
        (any::<bool>(), 0i64..60, 0u8..3).prop_map(|(is_view, time, name)| Arrival { is_view, time, name });
    proptest::collection::vec(arrival, 0..24)
}

proptest! {
    #[test]
    fn any_order_gives_the_defined_totals(arrivals in arrivals(), restart in 0usize..24) {
        let mut joins = joins(100);
        let mut sums = Sums::default();
        for (n, &arrival) in arrivals.iter().enumerate() {
            if n == restart {
                let mut saved = joins.save();
                if n % 2 == 0 {
                    joins.walk(Place::START, &mut Room::new(1_000_000), &mut saved);
                }
                joins = self::joins(100);
                joins.restore(saved, EventTime::MIN);
            }
            sums.apply(&mut joins, arrival);
        }
        let (totals, found) = expected(&arrivals);
        prop_assert_eq!(&sums.totals, &totals);
        prop_assert_eq!(sums.found, found);
        let clicks = arrivals.iter().filter(|a| !a.is_view).count() as u64;
        prop_assert_eq!(joins.expire(EventTime::MAX), clicks - found);
        prop_assert_eq!(joins.parts, 0);
        prop_assert!(joins.entries.is_empty() && joins.due.is_empty());
    }

    /// The watermark moves, forgets, and the process restarts at any place of a round: the outcome is that of one process.
    #[test]
    fn a_restart_changes_nothing(
        steps in proptest::collection::vec((arrivals(), 0i64..5_000, any::<bool>()), 0..12), room in 1usize..600,
    ) {
        let (mut whole, mut resumed) = (joins(100), joins(100));
        let (mut sums, mut other) = (Sums::default(), Sums::default());
        let (mut unmatched, mut other_unmatched) = (0, 0);
        let mut watermark = 0;
        let (mut chain, mut round, mut place) = (Vec::new(), Vec::new(), Place::START);
        for (arrivals, advance, restarts) in steps {
            for arrival in arrivals {
                let on = u128::from(arrival.name) % 2;
                let arrival = Arrival { time: arrival.time * 40 + watermark - 1_000, ..arrival };
                sums.apply_to(on, &mut whole, arrival);
                other.apply_to(on, &mut resumed, arrival);
            }
            watermark += advance;
            unmatched += whole.expire(EventTime(watermark));
            other_unmatched += resumed.expire(EventTime(watermark));
            let mut saved = resumed.save();
            let next = resumed.walk(place, &mut Room::new(room), &mut saved);
            chain.push((saved.clone(), EventTime(watermark)));
            round.push((saved, EventTime(watermark)));
            place = next.unwrap_or_else(|| {
                chain = std::mem::take(&mut round);
                Place::START
            });
            if restarts {
                resumed = joins(100);
                for (saved, at) in chain.clone() {
                    resumed.restore(saved, at);
                }
                (round, place) = (Vec::new(), Place::START);
            }
            prop_assert_eq!(whole.parts, resumed.parts);
        }
        prop_assert_eq!(sums.totals, other.totals);
        prop_assert_eq!((sums.found, unmatched), (other.found, other_unmatched));
        prop_assert_eq!(whole.expire(EventTime::MAX), resumed.expire(EventTime::MAX));
        prop_assert_eq!((whole.bytes, resumed.bytes, whole.keys.count(), resumed.keys.count()), (0, 0, 0, 0));
        prop_assert!(resumed.due.is_empty());
    }
}

#[test]
fn a_value_over_its_limit_is_counted_without_the_join() {
    let mut joins = joins(2);
    let mut effects = Effects::default();
    joins.view(1, EventTime(0), HashedKey::new(key(1).as_pushed()), &mut effects);
    assert_eq!(joins.click(1, (EventTime(1), true), None, &mut effects), Clicked::Found);
    assert_eq!(joins.click(1, (EventTime(2), true), None, &mut effects), Clicked::OverLimit);
    joins.view(1, EventTime(3), HashedKey::new(key(1).as_pushed()), &mut effects);
    assert_eq!((joins.parts, joins.over_limit()), (2, 2));
    assert_eq!(
        joins.click(2, (EventTime(2), true), None, &mut effects),
        Clicked::Waits,
        "another value has room"
    );
    joins.expire(EventTime(1_000_000));
    assert_eq!(joins.click(1, (EventTime(1_000_000), true), None, &mut effects), Clicked::Waits);
}

/// One value, the worst order: every view is newer than the one before it and takes all clicks from it.
#[test]
fn changes_of_an_arrival_do_not_grow_with_the_value() {
    let most_changes = |events: i64| {
        let mut joins = join(Millis(1_000_000), 1_000_000, 0, 1_000_000);
        let mut sums = Sums::default();
        let clicks = (0..events).map(|n| Arrival { is_view: false, time: 500_000 + 3 * n, name: 0 });
        let views = (0..events).map(|n| Arrival { is_view: true, time: n, name: (n % 2) as u8 });
        clicks.chain(views).map(|arrival| sums.apply(&mut joins, arrival)).max()
    };
    assert_eq!(most_changes(8_000), most_changes(1_000));
}

#[test]
fn a_delta_holds_arrivals_and_not_whole_values() {
    let mut joins = joins(1_000);
    let mut effects = Effects::default();
    for n in 0..500 {
        joins.view(1, EventTime(n), HashedKey::new(key(1).as_pushed()), &mut effects);
    }
    joins.save();
    joins.click(1, (EventTime(500), true), None, &mut effects);
    let delta = joins.save();
    assert_eq!((delta.views.len(), delta.clicks.len()), (0, 1));
}

/// Two clicks of one value are due within the same second, one before and one after the watermark's whole second. The
/// process forgets one of them; a restored one must not forget the other at that occasion, as nothing counts it then.
#[test]
fn a_restored_state_forgets_what_the_process_forgot() {
    let keep = WITHIN.0 + SIZE + 20;
    let mut joins = joins(100);
    let mut effects = Effects::default();
    joins.click(1, (EventTime(0), true), None, &mut effects);
    joins.click(1, (EventTime(5_500), true), None, &mut effects);
    assert_eq!(joins.expire(EventTime(2_000)), 1);
    let watermark = EventTime(5_500 + keep + 100);
    assert_eq!(joins.expire(watermark), 0, "its second is not over");
    let mut restored = self::joins(100);
    restored.restore(joins.save(), watermark);
    assert_eq!(joins.expire(EventTime::MAX), 1);
    assert_eq!(restored.expire(EventTime::MAX), 1);
}

/// An edit keeps views for longer, so that one arrives that is older than one that was forgotten before the edit.
#[test]
fn a_click_keeps_the_view_that_was_forgotten_before_an_edit() {
    let (mut before, mut effects) = (join(WITHIN, SIZE, 20, 100), Effects::default());
    assert_eq!(before.click(1, (EventTime(5_008), true), None, &mut effects), Clicked::Waits);
    before.view(1, EventTime(5_000), HashedKey::new(key(1).as_pushed()), &mut effects);
    assert_eq!(effects.found, 1);
    before.keep = Millis(995);
    assert_eq!(before.expire(EventTime(6_000)), 0, "the view is forgotten, and the click is not yet");

    let (mut after, watermark) = (join(WITHIN, SIZE, 5_000, 100), before.watermark);
    after.restore(before.save(), watermark);
    assert_eq!(after.restored(), 0);
    effects.clear();
    after.view(1, EventTime(4_999), HashedKey::new(key(2).as_pushed()), &mut effects);
    assert!(effects.changes.is_empty() && effects.found == 0, "the click belongs to the newer view");
    assert_eq!(after.click(1, (EventTime(5_007), true), None, &mut effects), Clicked::Found);
    assert!(effects.changes.is_empty(), "all windows of its view are over");
    assert_eq!(after.click(1, (EventTime(4_999), true), None, &mut effects), Clicked::Found);
    assert!(!effects.changes.is_empty(), "it belongs to the older view");
    assert_eq!(after.expire(EventTime::MAX), 0);
}
