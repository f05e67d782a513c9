//! What a replay costs in allocations and in memory. Neither depends on the machine.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use event::{EventTime, Millis, Partition, events::EventsSettings};
use flow::{Flow, FlowSettings};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    replay::{Record, Replay},
    saved::{Budget, Round, save},
};
use serde_json::json;

/// The system's allocator, with a count of the calls for each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one hands everything on")]
// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const START: i64 = 1_700_000_000_000;

fn events() -> EventsSettings {
    serde_json::from_value(json!({ "time": "/time" })).expect("[events]")
}

fn flow(name: &str, size: &str) -> Flow {
    let settings: FlowSettings = serde_json::from_value(json!({
        "name": name, "by": { "page": "/page" }, "views": { "/type": "view" }, "clicks": { "/type": "click" },
        "window": { "size": size }, "out_of_orderness": "1h", "allowed_lateness": "1d",
    }))
    .expect("a flow");
    Flow::try_from(settings).expect("a flow that makes sense")
}

fn payload(time: i64, page: i64) -> String {
    json!({ "time": time, "type": "view", "page": format!("/page/{page}") }).to_string()
}

fn count(replay: &mut Replay, payload: &str) {
    let payload = payload.as_bytes();
    replay.event(&Record { partition: 0, topic: "t", kafka_time: None, payload });
    replay.advance(&mut |_, rows| rows.clear());
}

/// Allocations of a thousand events, once the keys and slices are there.
fn allocations(flows: usize) -> usize {
    let flows = (0..flows).map(|n| flow(&format!("f{n}"), "1h")).collect();
    let mut replay = Replay::new(&events(), flows, 1, EventTime(START));
    let payloads: Vec<String> = (0..1_000).map(|n| payload(START + n % 60, n % 10)).collect();
    payloads.iter().for_each(|payload| count(&mut replay, payload));
    let before = CALLS.get();
    payloads.iter().for_each(|payload| count(&mut replay, payload));
    CALLS.get() - before
}

#[test]
fn many_flows_allocate_no_more_than_few() {
    let (few, many) = (allocations(50), allocations(400));
    assert!(many <= few + 400, "{few} allocations with 50 flows, {many} with 400");
}

/// A run without checkpoints remembers nothing for the next one.
#[test]
fn a_replay_keeps_nothing_for_a_checkpoint() {
    let mut replay = Replay::new(&events(), vec![flow("f", "1s")], 1, EventTime(START));
    let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(1_000), cold_start: Millis(1) };
    let mut core = Core::new(&events(), vec![flow("f", "1s")], limits, EventTime(START));
    let partition = Partition { topic: "t".into(), incarnation: "id".into(), partition: 0 };
    for n in 0..20_000 {
        let payload = payload(START + n % 20 * 1_000, n / 20);
        count(&mut replay, &payload);
        let time = EventTime(START);
        let position = Some((&partition, n.unsigned_abs()));
        core.data(
            &Data { position, kafka_time: Some(time), publish_time: time, payload: payload.as_bytes() },
            time,
        );
    }
    core.fire_changed(EventTime(START));
    core.take_effects();
    let budget = Budget::of(core.bytes(), 0);
    save(&mut core, &mut [("w".into(), &mut Outbox::default())], &mut Round::default(), budget);
    assert_eq!(replay.engine().bytes(), core.engine().bytes());
}
