//! The reported size of a state compared with what the allocator provided for it: `[state] memory` bounds the first and must hold
//! for the second.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
};

use event::{EventTime, Millis, Partition, events::EventsSettings};
use flow::{Flow, FlowSettings};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    saved::{Budget, Round, save},
};
use serde_json::{Value, json};

/// The system's allocator, with a count of what is in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one hands everything on")]
// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const START: i64 = 1_700_000_000_000;

/// Counts events of one flow, given by number, with a checkpoint now and then. Returns what is wrong.
fn check(
    what: &str,
    events: u64,
    id: Option<&str>,
    flow: Value,
    event: impl Fn(u64) -> (i64, Value),
) -> Option<String> {
    let settings: EventsSettings =
        serde_json::from_value(json!({ "time": "/time", "id": id })).expect("[events]");
    let flow: FlowSettings = serde_json::from_value(flow).expect("a flow");
    let flow = Flow::try_from(flow).expect("a flow that makes sense");
    let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(1_000), cold_start: Millis(1) };
    let (mut outbox, mut round) = (Outbox::default(), Round::default());
    let before = IN_USE.load(Ordering::Relaxed);
    let mut core = Core::new(&settings, vec![flow], limits, EventTime(START));
    let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 };
    for number in 0..events {
        let (millis, mut content) = event(number);
        let time = EventTime(START + millis);
        content["time"] = json!(time.0);
        let payload = content.to_string();
        let position = Some((&partition, number));
        let payload = payload.as_bytes();
        core.data(&Data { position, kafka_time: Some(time), publish_time: time, payload }, time);
        if number % 50_000 == 49_999 {
            core.fire_changed(time);
            core.take_effects();
            let budget = Budget::of(core.bytes(), 0);
            save(&mut core, &mut [("w".into(), &mut outbox)], &mut round, budget);
        }
    }
    let budget = Budget::of(core.bytes(), 0);
    save(&mut core, &mut [("w".into(), &mut outbox)], &mut round, budget);
    let (given, reported) = (IN_USE.load(Ordering::Relaxed) - before, core.bytes() as isize);
    let percent = 100 * reported / given;
    // With a tenth for what the allocator takes for itself.
    (!(104..=124).contains(&percent)).then(|| format!("{what}: {reported} bytes reported, {given} given"))
}

fn flow(size: &str, period: &str, more: &Value) -> Value {
    let mut flow = json!({
        "name": "f", "by": { "page": "/page" }, "views": { "/type": "view" }, "clicks": { "/type": "click" },
        "window": { "size": size, "period": period }, "out_of_orderness": "2h", "allowed_lateness": "1h",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        flow[key] = value.clone();
    }
    flow
}

/// One test, as what others allocate would be counted, too.
#[test]
fn memory_is_accounted_for() {
    let page = |n: u64| json!({ "type": "view", "page": format!("/a/page/of/the/shop/{n}") });
    let join = json!({ "join": { "on": "/view_id", "within": "30m" } });
    let wrong = [
        check("all keys in all slices", 300_000, None, flow("10m", "1m", &json!({})), |n| {
            ((n / 10_000) as i64 * 60_000, page(n % 10_000))
        }),
        check("few keys in each slice", 300_000, None, flow("10m", "1m", &json!({})), |n| {
            (n as i64 * 10, page(n * 7_919 % 60_000))
        }),
        check("one slice of many keys", 300_000, None, flow("1d", "1d", &json!({})), |n| (n as i64, page(n))),
        check("early panes", 300_000, None, flow("10m", "1m", &json!({ "early": "1s" })), |n| {
            (n as i64 * 2, page(n % 20_000))
        }),
        check(
            "sessions",
            200_000,
            None,
            json!({
                "name": "f", "by": { "page": "/page" }, "window": { "session": "1m" },
                "measures": { "views": { "count": {} }, "length": { "max": "/n" } }, "allowed_lateness": "24h",
            }),
            |n| {
                let mut event = page(n % 5_000);
                event["n"] = json!(n);
                (n as i64 * 100, event)
            },
        ),
        check(
            "distinct values",
            300_000,
            None,
            flow(
                "1h",
                "1h",
                &json!({
                    "measures": { "users": { "distinct": "/user" } },
                }),
            ),
            |n| {
                let mut event = page(n % 500);
                event["user"] = json!(n);
                (n as i64 * 10, event)
            },
        ),
        check(
            "joins with values",
            100_000,
            None,
            flow(
                "1h",
                "1h",
                &json!({
                    "join": { "on": "/view_id", "within": "30m" },
                    "measures": { "users": { "distinct": "/user" }, "paid": { "sum": "/price" }, "most": { "max": "/price" } },
                }),
            ),
            |n| {
                let kind = if n % 2 == 0 { "view" } else { "click" };
                (
                    n as i64 * 10,
                    json!({
                        "type": kind, "page": format!("/page/{}", n % 100), "view_id": (n / 2).to_string(), "user": n, "price": n % 50,
                    }),
                )
            },
        ),
        check("ids", 300_000, Some("/id"), flow("1h", "1h", &json!({})), |n| {
            let mut event = page(n % 10);
            event["id"] = json!(n.to_string());
            (n as i64 * 10, event)
        }),
        check("joins", 300_000, None, flow("1h", "1h", &join), |n| {
            let view = n / 2 * 2;
            let kind = if n == view { "view" } else { "click" };
            (
                n as i64 * 10,
                json!({ "type": kind, "page": format!("/page/{}", n % 100), "view_id": view.to_string() }),
            )
        }),
        check("joins of hot values", 300_000, None, flow("1h", "1h", &join), |n| {
            let kind = if n % 10 == 0 { "view" } else { "click" };
            (
                n as i64 * 10,
                json!({ "type": kind, "page": format!("/page/{}", n % 100), "view_id": (n % 1_000).to_string() }),
            )
        }),
    ];
    assert!(wrong.iter().all(Option::is_none), "{wrong:#?}");
}
