use super::*;
use crate::store::Kind;

#[test]
fn an_unknown_format_is_refused_and_not_guessed_at() {
    let saved = Saved {
        everything: true,
        frontier: Frontier::new(),
        unpositioned: None,
        published: EventTime::MIN,
        ids: Vec::new(),
        flows: Vec::new(),
        outbox: SavedOutbox::default(),
    };
    let payload = saved.encode().expect("state").into();
    let mut checkpoint = Checkpoint { number: 7, kind: Kind::Base, version: FORMAT, payload };
    Saved::decode(&checkpoint).expect("the version that was written");
    for version in [1, FORMAT + 1] {
        checkpoint.version = version;
        let error = Saved::decode(&checkpoint).expect_err("a version without a reader");
        assert!(matches!(error, ProcessorError::Unreadable { number: 7, .. }), "{error}");
    }
}

/// A base and a delta as release 0.1.0 wrote them. Flow `pages` has sliding windows, `joined` a join; an old incarnation
/// lacks offset 1; the clicks of the values v3 and v9 wait for their views.
mod version_2 {
    use event::{Incarnation, Millis, Partition, ledger::Outcome};
    use serde_json::json;

    use super::{super::version_2 as format, *};
    use crate::{
        core::Data,
        flow::{Flow, FlowSettings},
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

    fn restored() -> Core {
        let limits = Limits { idle_after: Millis(1_000), hole_limit: Millis(600_000), cold_start: Millis(1) };
        let events = serde_json::from_value(json!({ "time": "/time", "id": "/id" })).expect("the section");
        let mut core = Core::new(&events, flows(), limits, EventTime(START));
        let decoded = [(1, BASE), (2, DELTA)].map(|(number, payload)| {
            let kind = if number == 1 { Kind::Base } else { Kind::Delta };
            let payload = bytes::Bytes::from_static(payload);
            Saved::decode(&Checkpoint { number, kind, version: format::FORMAT, payload })
        });
        restore(&mut core, &mut Outbox::default(), decoded).expect("a state of these flows");
        core
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
        let core = restored();
        let (pages, joined) = (&core.engine().flows()[0], &core.engine().flows()[1]);
        assert_eq!(outcomes(&core, 0), [(Outcome::Counted, 7), (Outcome::Rejected, 1)]);
        assert_eq!(
            outcomes(&core, 1),
            [(Outcome::Counted, 5), (Outcome::Rejected, 1), (Outcome::Pending, 2)]
        );
        for (flow, clicks, attributed) in [(pages, 2, 0), (joined, 1, 2)] {
            assert_eq!(flow.windows.watermark(), EventTime(START + 670_600));
            let window = flow.flow.windows.at(flow.flow.windows.last_start(EventTime(START)));
            let counts: Vec<_> =
                flow.windows.counts(window).into_iter().flatten().map(|(_, ctr)| ctr).collect();
            assert_eq!(counts, [event::Ctr { views: 2, clicks, attributed }]);
        }
    }

    #[test]
    fn what_0_1_0_had_seen_is_recognised() {
        let mut core = restored();
        let old = Incarnation::from("AAAAAAAAAAAAAAAAAAAAAA");
        let old = Partition { topic: "events".into(), incarnation: old, partition: 0 };
        let arrivals = [0, 1, 2].map(|offset| core.frontier().peek(&old, offset));
        assert_eq!(arrivals, [Arrival::Seen, Arrival::New, Arrival::Seen]);
        // The same event again at a new offset, by its id.
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
