use super::*;

#[test]
fn an_unknown_format_is_refused_and_not_guessed_at() {
    let saved = Saved {
        part: Part::whole(),
        frontier: Frontier::new(),
        unpositioned: None,
        published: EventTime::MIN,
        ids: Vec::new(),
        flows: Vec::new(),
        outbox: SavedOutbox::default(),
        rejected: SavedRejected::default(),
        writers: Vec::new(),
        others: Vec::new(),
    };
    let payload = saved.encode().expect("state").into();
    let mut checkpoint = Checkpoint { number: 7, version: FORMAT, payload };
    Saved::decode(&checkpoint).expect("the version that was written");
    checkpoint.version = 1;
    let error = Saved::decode(&checkpoint).expect_err("a version without a reader");
    assert!(matches!(error, ProcessorError::Unreadable { number: 7, .. }), "{error}");
    checkpoint.version = FORMAT + 1;
    let error = Saved::decode(&checkpoint).expect_err("a version of the future");
    assert!(matches!(error, ProcessorError::NewerState { number: 7, version } if version == FORMAT + 1));
}

#[test]
fn a_state_of_version_3_is_read() {
    let mut rejected = crate::rejected::Rejected::default();
    rejected.seen(7);
    let saved = Saved {
        part: Part::whole(),
        frontier: Frontier::new(),
        unpositioned: None,
        published: EventTime(5),
        ids: Vec::new(),
        flows: Vec::new(),
        outbox: SavedOutbox::default(),
        rejected: rejected.save(Vec::new()),
        writers: vec!["bigquery".into(), "pubsub".into()],
        others: vec![SavedOutbox::default()],
    };
    let decoded = |version, payload: Vec<u8>| {
        Saved::decode(&Checkpoint { number: 1, version, payload: payload.into() }).expect("a state")
    };
    let whole = saved.encode().expect("state");
    let now = decoded(FORMAT, whole);
    assert_eq!(
        (now.rejected, now.writers, now.others),
        (saved.rejected.clone(), saved.writers.clone(), saved.others.clone())
    );
    let of_0_2_0 = postcard::to_allocvec(&saved).expect("state");
    let old = decoded(VERSION_3, of_0_2_0);
    assert_eq!((old.rejected, old.published), (SavedRejected::default(), EventTime(5)));
    assert!(old.writers.is_empty() && old.others.is_empty());
}

/// Successive processors on one chain of checkpoints, which is pruned as the store does it.
mod rolling {
    use std::collections::BTreeMap;

    use event::{Key, Millis, Partition, ledger::Outcome};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use flow::{Flow, FlowSettings};

    use crate::{core::Data, frontier::Limits};

    const START: i64 = 1_700_000_000_000;

    fn flow(name: &str, by: &str) -> Flow {
        let settings: FlowSettings = serde_json::from_value(json!({
            "name": name, "by": { "page": by }, "views": { "/type": "view" }, "clicks": { "/type": "click" },
            "window": { "size": "1h" },
        }))
        .expect("a flow");
        Flow::try_from(settings).expect("a flow that makes sense")
    }

    fn new_core(flows: &[Flow]) -> Core {
        let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(1) };
        let events = serde_json::from_value(json!({ "time": "/time", "id": "/id" })).expect("the section");
        Core::new(&events, flows.to_vec(), limits, EventTime(START))
    }

    struct Chain {
        core: Core,
        outbox: Outbox,
        round: Round,
        offset: u64,
        /// Checkpoints since the start of the last complete round, and of the current one.
        saved: [Vec<Vec<u8>>; 2],
    }

    impl Chain {
        fn new(flows: &[Flow]) -> Self {
            let saved = [Vec::new(), Vec::new()];
            Self {
                core: new_core(flows),
                outbox: Outbox::default(),
                round: Round::default(),
                offset: 0,
                saved,
            }
        }

        fn view(&mut self, page: u64) {
            let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 };
            let content =
                json!({ "time": START, "type": "view", "page": page.to_string(), "id": self.offset });
            let (payload, time) = (content.to_string(), EventTime(START));
            let (position, payload) = (Some((&partition, self.offset)), payload.as_bytes());
            self.core.data(&Data { position, kafka_time: Some(time), publish_time: time, payload }, time);
            self.offset += 1;
        }

        /// Writes a checkpoint, and returns its size in bytes.
        fn save(&mut self, bytes: usize) -> usize {
            let budget = Budget { least: bytes, most: bytes };
            let saved = save(&mut self.core, &mut [("w".into(), &mut self.outbox)], &mut self.round, budget);
            let payload = saved.encode().expect("state");
            let length = payload.len();
            let [chain, round] = &mut self.saved;
            chain.push(payload.clone());
            round.push(payload);
            if saved.part.last {
                *chain = std::mem::take(round);
            }
            length
        }

        fn restart(&mut self, flows: &[Flow]) -> Result<Restored, Edited> {
            let mut restoring = Restoring::new(new_core(flows));
            for (number, payload) in (1..).zip(&self.saved[0]) {
                let payload = payload.clone().into();
                let saved = Saved::decode(&Checkpoint { number, version: FORMAT, payload });
                restoring.apply(saved.expect("state"));
            }
            let (core, mut outboxes, restored) = restoring.finish()?;
            let outbox = outboxes.take("w").unwrap_or_default();
            (self.core, self.outbox, self.round) = (core, outbox, Round::default());
            self.saved[1].clear();
            Ok(restored)
        }

        fn views(&self, flow: usize) -> BTreeMap<String, u64> {
            let state = &self.core.engine().flows()[flow];
            let counts = state.windows.counts(&state.flow, EventTime(START));
            let text = |key: &Key| key.get(0).unwrap_or_default().to_owned();
            counts.iter().map(|(key, values)| (text(key), flow::row::weight(values))).collect()
        }
    }

    #[test]
    fn a_flow_that_comes_again_begins_empty() {
        let (kept, other) = (flow("kept", "/page"), flow("other", "/page"));
        let mut chain = Chain::new(&[kept.clone(), other.clone()]);
        (0..20).for_each(|page| chain.view(page));
        chain.save(100);
        // Another definition under the old name is refused while the flow is in the state.
        let edited = flow("other", "/other");
        let error = chain.restart(&[kept.clone(), edited.clone()]).expect_err("it was edited");
        assert_eq!(error.flow, "other");
        let restored = chain.restart(std::slice::from_ref(&kept)).expect("it was taken out");
        assert_eq!(restored.removed, ["other"]);
        chain.save(100);
        for again in [edited, other] {
            let restored = chain.restart(&[kept.clone(), again]).expect("it is a new flow");
            assert_eq!((restored.added.len(), chain.views(0).len(), chain.views(1).len()), (1, 20, 0));
            let ledger = chain.core.engine().flows()[1].ledger;
            assert_eq!(ledger.get(Outcome::Counted), 0);
        }
        // The flow was there before; new counts must not mix with the old ones.
        chain.view(7);
        chain.save(100);
        chain.restart(&[kept, flow("other", "/page")]).expect("the same flows");
        assert_eq!((chain.views(0)["7"], chain.views(1)), (2, BTreeMap::from([("7".to_owned(), 1)])));
    }

    proptest! {
        #[test]
        fn a_pruned_chain_gives_the_state_back(
            steps in prop::collection::vec((0u64..12, 1usize..2_000, prop::bool::weighted(0.2)), 1..60),
        ) {
            let flows = [flow("one", "/page"), flow("two", "/type")];
            let mut chain = Chain::new(&flows);
            let mut expected = BTreeMap::<String, u64>::new();
            for (page, bytes, restarts) in steps {
                chain.view(page);
                *expected.entry(page.to_string()).or_default() += 1;
                chain.save(bytes);
                if restarts {
                    chain.restart(&flows).expect("the same flows");
                }
                prop_assert_eq!(chain.views(0), expected.clone());
                prop_assert_eq!(chain.views(1)["view"], chain.offset);
            }
        }
    }

    fn edited(changes: &serde_json::Value) -> Flow {
        let mut settings = json!({
            "name": "f", "by": { "page": "/page" }, "views": { "/type": "view" }, "clicks": { "/type": "click" },
            "window": { "size": "1h" },
        });
        for (key, value) in changes.as_object().expect("an object") {
            settings[key] = value.clone();
        }
        let settings: FlowSettings = serde_json::from_value(settings).expect("a flow");
        Flow::try_from(settings).expect("a flow that makes sense")
    }

    #[test]
    fn an_added_measure_counts_from_now_on() {
        let ids = json!({ "ids": { "count": {} }, "users": { "distinct": "/id" } });
        let (before, after) =
            (edited(&json!({})), edited(&json!({ "measures": ids, "out_of_orderness": "5s" })));
        let mut chain = Chain::new(std::slice::from_ref(&before));
        chain.view(1);
        chain.save(1);
        chain.restart(std::slice::from_ref(&after)).expect("a measure may be added");
        chain.view(1);
        chain.save(1);
        // Starts again from a chain with both definitions, and once more without the measure in the middle.
        for flow in [&after, &before, &after] {
            chain.restart(std::slice::from_ref(flow)).expect("measures may be added and removed");
            chain.save(1);
            assert_eq!(chain.views(0)["1"], 2);
        }
        let state = &chain.core.engine().flows()[0];
        let hour = 3_600_000;
        let end = EventTime(START - START % hour + hour);
        assert_eq!([0, 2, 3].map(|measure| state.windows.since().of(measure)), [EventTime::MIN, end, end]);
        let mut rows = Vec::new();
        let state = &mut chain.core.engine.flows[0];
        state.windows.advance(EventTime::MAX, EventTime(0), &mut rows, &mut |_| ());
        let row = &rows[0].values;
        assert_eq!(row[2..], [flow::row::Value::Null, flow::row::Value::Null]);
    }

    #[test]
    fn an_edit_of_anything_else_is_refused() {
        let measure = |measure: serde_json::Value| json!({ "measures": { "m": measure } });
        let flow = edited(&measure(json!({ "max": "/n" })));
        let mut chain = Chain::new(std::slice::from_ref(&flow));
        chain.view(1);
        chain.save(100);
        for (changes, key) in [
            (json!({ "by": { "page": "/p" } }), "by"),
            (json!({ "where": { "/type": "view" } }), "where"),
            (json!({ "window": { "size": "30m" } }), "window"),
            (json!({ "window": { "session": "30m" } }), "window"),
            (json!({ "time": "kafka" }), "time"),
            (json!({ "join": { "on": "/id", "within": "1m" } }), "join"),
            (measure(json!({ "min": "/n" })), "measures.m"),
        ] {
            let error = chain.restart(&[edited(&changes)]).expect_err("it is an edit");
            assert_eq!((&*error.flow, &*error.edit.key), ("f", key), "{changes}");
        }
        chain.restart(&[flow]).expect("the same flow");
    }

    /// A window that was closed under a short lateness stays closed under a longer one, because its rows are final.
    #[test]
    fn a_longer_lateness_opens_no_window_again() {
        let lateness =
            |lateness: &str| edited(&json!({ "allowed_lateness": lateness, "out_of_orderness": "0s" }));
        let mut chain = Chain::new(&[lateness("0s")]);
        chain.view(1);
        let state = &mut chain.core.engine.flows[0];
        let (mut rows, later) = (Vec::new(), EventTime(START + 3_600_000));
        state.windows.advance(later, EventTime(0), &mut rows, &mut |_| ());
        chain.save(100);
        chain.restart(&[lateness("6h")]).expect("the lateness may change");
        let windows = &mut chain.core.engine.flows[0].windows;
        assert_eq!(windows.fate(EventTime(START)), crate::windows::Fate::Late);
        assert_eq!(windows.fate(later), crate::windows::Fate::Counted);
    }

    /// A click that was unmatched under a short lateness does not return under a longer one: the ledger has its
    /// outcome.
    #[test]
    fn a_longer_lateness_brings_no_click_back() {
        let flow = |lateness: &str| {
            edited(&json!({
                "allowed_lateness": lateness, "out_of_orderness": "0s", "join": { "on": "/id", "within": "1s" },
                "clicks": { "/type": "view" }, "views": { "/type": "shown" },
            }))
        };
        let mut chain = Chain::new(&[flow("1s")]);
        // Enough keys that no round is complete before the restart.
        (0..50).for_each(|page| chain.view(page));
        chain.save(1);
        let watermarks = |hours: i64| crate::engine::Watermarks {
            clocks: Clocks::all(EventTime(START + hours * 3_600_000)),
            processing: EventTime::MIN,
        };
        chain.core.engine.advance(&watermarks(3), EventTime(0), &mut crate::engine::Output::default());
        chain.save(1);
        chain.restart(&[flow("6h")]).expect("the lateness may change");
        chain.core.engine.advance(&watermarks(100), EventTime(0), &mut crate::engine::Output::default());
        let ledger = chain.core.engine().flows()[0].ledger;
        let outcomes = [Outcome::Unmatched, Outcome::Pending].map(|outcome| ledger.get(outcome));
        assert_eq!(outcomes, [50, 0]);
    }

    /// The bytes of each checkpoint of a round when one key changes before each.
    fn round(keys: u64, bytes: usize) -> Vec<usize> {
        let mut chain = Chain::new(&[flow("f", "/page")]);
        (0..keys).for_each(|key| chain.view(key));
        chain.save(1);
        chain.round = Round::default();
        let mut lengths = Vec::new();
        while chain.round != Round::default() || lengths.is_empty() {
            chain.view(0);
            lengths.push(chain.save(bytes));
        }
        lengths
    }

    #[test]
    fn a_checkpoint_does_not_grow_with_the_state() {
        const PART: usize = 8_000;
        let (small, large) = (round(1_000, PART), round(8_000, PART));
        let largest = |lengths: &[usize]| lengths.iter().max().copied().unwrap_or_default();
        assert!(largest(&small) < PART && largest(&large) < PART, "{small:?} {large:?}");
        assert!((7 * small.len()..9 * small.len()).contains(&large.len()), "{} {}", small.len(), large.len());
    }
}

/// A base and a delta as release 0.1.0 wrote them. Flow `pages` has sliding windows, `joined` a join. An old
/// incarnation lacks offset 1, and the clicks of the values v3 and v9 wait for their views.
mod version_2 {
    use event::{Incarnation, Millis, Partition, ledger::Outcome};
    use serde_json::json;

    use super::{super::version_2 as format, *};
    use flow::{Flow, FlowSettings, row::Value};

    use crate::{
        core::Data,
        frontier::{Arrival, Limits},
    };

    const START: i64 = 1_700_000_000_000;
    const BASE: &[u8] = include_bytes!("data/0.1.0/base.postcard");
    const DELTA: &[u8] = include_bytes!("data/0.1.0/delta.postcard");

    fn flows() -> Vec<Flow> {
        let flow = |json| {
            let settings: FlowSettings = serde_json::from_value(json).expect("a flow");
            Flow::try_from(settings).expect("a flow that makes sense")
        };
        vec![
            flow(json!({
                "name": "pages", "by": { "page": "/page" }, "views": { "/type": "view" },
                "clicks": { "/type": ["click", "tap"], "/n": [1, 0.5] },
                "window": { "size": "10m", "period": "1m" },
            })),
            flow(json!({
                "name": "joined", "by": { "page": "/page" }, "views": { "/type": "view" },
                "clicks": { "/type": "click" }, "window": { "size": "10m" },
                "join": { "on": "/view_id", "within": "30m" },
            })),
        ]
    }

    fn new_core() -> Core {
        let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(1) };
        let events = serde_json::from_value(json!({ "time": "/time", "id": "/id" })).expect("the section");
        Core::new(&events, flows(), limits, EventTime(START))
    }

    fn restored() -> Core {
        let mut restoring = Restoring::new(new_core());
        for (number, payload) in [(1, BASE), (2, DELTA)] {
            let payload = bytes::Bytes::from_static(payload);
            let checkpoint = Checkpoint { number, version: format::FORMAT, payload };
            restoring.apply(Saved::decode(&checkpoint).expect("0.1.0 wrote it"));
        }
        restoring.finish().expect("a state of these flows").0
    }

    fn send(core: &mut Core, offset: u64, at: i64, kind: &str, id: u32, view: &str) {
        let new = Incarnation::from("BBBBBBBBBBBBBBBBBBBBBB");
        let partition = Partition { topic: "events".into(), incarnation: new, partition: 0 };
        let time = EventTime(START + at);
        let payload = json!({
            "time": time.to_string(), "type": kind, "page": "/a", "id": id.to_string(), "view_id": view, "n": 1,
        });
        let payload = payload.to_string();
        let (position, payload) = (Some((&partition, offset)), payload.as_bytes());
        core.data(&Data { position, kafka_time: Some(time), publish_time: time, payload }, time);
    }

    fn outcomes(core: &Core, flow: usize) -> Vec<(Outcome, u64)> {
        core.engine().flows()[flow].ledger.iter().filter(|(_, offsets)| *offsets > 0).collect()
    }

    #[test]
    fn a_state_of_0_1_0_is_read_whole() {
        check_whole(&restored());
    }

    fn check_whole(core: &Core) {
        let (pages, joined) = (&core.engine().flows()[0], &core.engine().flows()[1]);
        assert_eq!(outcomes(core, 0), [(Outcome::Counted, 7), (Outcome::Rejected, 1)]);
        assert_eq!(outcomes(core, 1), [(Outcome::Counted, 5), (Outcome::Rejected, 1), (Outcome::Pending, 2)]);
        for (flow, clicks, attributed) in [(pages, 2, 0), (joined, 1, 2)] {
            assert_eq!(flow.windows.watermark(), EventTime(START + 670_600));
            let counts = flow.windows.counts(&flow.flow, EventTime(START));
            let counts: Vec<Vec<Value>> = counts.into_values().map(|values| values.to_vec()).collect();
            let expected = [2, clicks, attributed].map(Value::Count);
            assert_eq!(counts, [expected[..flow.flow.fed.len()].to_vec()]);
        }
    }

    /// The first round of checkpoints builds on a base of 0.1.0, and replaces it once it is complete.
    #[test]
    fn a_state_of_0_1_0_is_copied_in_parts() {
        let budget = Budget { least: 1, most: 1 };
        let of_0_1_0 = [BASE, DELTA].map(|payload| (format::FORMAT, payload.to_vec()));
        let mut core = restored();
        let (mut outbox, mut round, mut written) = (Outbox::default(), Round::default(), Vec::new());
        loop {
            let saved = save(&mut core, &mut [("w".into(), &mut outbox)], &mut round, budget);
            let is_complete = saved.part.last;
            written.push((FORMAT, saved.encode().expect("state")));
            let chain = if is_complete { Vec::new() } else { of_0_1_0.to_vec() };
            let mut restoring = Restoring::new(new_core());
            for (version, payload) in chain.iter().chain(&written) {
                let checkpoint = Checkpoint { number: 1, version: *version, payload: payload.clone().into() };
                restoring.apply(Saved::decode(&checkpoint).expect("both are known"));
            }
            let mut again = restoring.finish().expect("a state of these flows").0;
            check_whole(&again);
            send(&mut again, 6, 700_550, "view", 8, "v9");
            assert!(outcomes(&again, 1).contains(&(Outcome::Pending, 1)), "a click found its view");
            if is_complete {
                break;
            }
        }
        assert!(written.len() > 10, "{} parts", written.len());
    }

    #[test]
    fn what_0_1_0_had_seen_is_recognised() {
        let mut core = restored();
        let old = Incarnation::from("AAAAAAAAAAAAAAAAAAAAAA");
        let old = Partition { topic: "events".into(), incarnation: old, partition: 0 };
        let arrivals = [0, 1, 2].map(|offset| core.frontier().peek(&old, offset));
        assert_eq!(arrivals, [Arrival::Seen, Arrival::New, Arrival::Seen]);
        // The same event at a new offset, recognised by its ID.
        send(&mut core, 6, 700_000, "view", 5, "v3");
        assert!(outcomes(&core, 0).contains(&(Outcome::Duplicate, 1)));
    }

    #[test]
    fn a_click_that_waited_under_0_1_0_finds_its_view() {
        let mut core = restored();
        send(&mut core, 6, 700_550, "view", 8, "v9");
        assert_eq!(
            outcomes(&core, 1),
            [(Outcome::Counted, 7), (Outcome::Rejected, 1), (Outcome::Pending, 1)]
        );
    }
}
