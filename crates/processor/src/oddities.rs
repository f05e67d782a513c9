//! Detects signs of mistakes in the producers: events that are sent too late, and seconds where milliseconds are
//! expected.
//!
//! Pure: the driver calls it once a minute and logs the result.

use std::sync::Arc;

use event::{EventTime, ledger::Outcome};
use tracing::warn;

use flow::TimeKind;

use crate::engine::FlowState;

/// The state of the last look, so that nothing is reported twice.
#[derive(Debug)]
pub(crate) struct Oddities {
    /// The late and counted events of each flow at the last look.
    reported: Vec<(u64, u64)>,
}

/// A mistake that a producer may have to correct.
#[derive(Debug, PartialEq)]
pub(crate) enum Oddity {
    /// The late and the counted events of a flow since the last look.
    Late { flow: Arc<str>, late: u64, counted: u64 },
    /// A flow whose watermark is in January 1970: its event times look like seconds since the epoch.
    Seconds { flow: Arc<str>, watermark: EventTime },
}

/// Until the year 2054, seconds since the epoch that are read as milliseconds are in January 1970.
const FEBRUARY_1970: EventTime = EventTime(31 * 86_400_000);

impl Oddities {
    /// Starts from a recovered state, which the processor that wrote it has already reported on.
    pub(crate) fn new(flows: &[FlowState]) -> Self {
        Self { reported: flows.iter().map(late_and_counted).collect() }
    }

    /// The mistakes that are new since the last look.
    pub(crate) fn look(&mut self, flows: &[FlowState]) -> Vec<Oddity> {
        let mut found = Vec::new();
        for (state, reported) in flows.iter().zip(&mut self.reported) {
            let (late, counted) = late_and_counted(state);
            let (late_before, counted_before) = std::mem::replace(reported, (late, counted));
            // Data that moves from lost to another outcome may lower either count.
            let (late, counted) = (late.saturating_sub(late_before), counted.saturating_sub(counted_before));
            if late > 0 {
                found.push(Oddity::Late { flow: state.name().clone(), late, counted });
            }
        }
        // Flows share the pointer of the time, so one report covers them all.
        found.extend(flows.iter().find_map(seconds));
        found
    }
}

fn late_and_counted(state: &FlowState) -> (u64, u64) {
    (state.ledger.get(Outcome::Late), state.ledger.get(Outcome::Counted))
}

fn seconds(state: &FlowState) -> Option<Oddity> {
    let watermark = state.windows.watermark();
    let is_odd = state.flow.time == TimeKind::Event && (EventTime(0)..FEBRUARY_1970).contains(&watermark);
    is_odd.then(|| Oddity::Seconds { flow: state.name().clone(), watermark })
}

impl Oddity {
    /// Logs the mistake.
    pub(crate) fn log(&self) {
        match self {
            Self::Late { flow, late, counted } => warn!(
                flow = &**flow,
                late,
                share = format!("{:.2} %", *late as f64 / (late + counted) as f64 * 100.0),
                action = "find a producer whose clock is ahead or that sends later than allowed_lateness; `aqueduct check --sample` shows the delays",
                "events were too late to be counted"
            ),
            Self::Seconds { flow, watermark } => warn!(
                flow = &**flow,
                %watermark,
                action = "change the producer to write milliseconds or RFC 3339, or change events.time",
                "event times are in January 1970: numbers are milliseconds since the epoch, and these look like seconds"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow::{Flow, FlowSettings};
    use serde_json::json;

    use super::*;
    use crate::{
        engine::{Engine, Output, Watermarks},
        frontier::Clocks,
        read::Envelope,
    };

    const NOW: i64 = 1_767_225_600_000;

    fn engine(time: &str) -> Engine {
        let settings: FlowSettings = serde_json::from_value(json!({
            "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
            "window": { "size": "10s" }, "time": time, "out_of_orderness": "0s", "allowed_lateness": "0s",
        }))
        .expect("a flow");
        let flow = Flow::try_from(settings).expect("a flow that makes sense");
        Engine::new(&serde_json::from_value(json!({ "time": "/t" })).expect("[events]"), vec![flow])
    }

    fn event(engine: &mut Engine, time: i64) {
        let kafka_time = Some(EventTime(NOW));
        let envelope = Envelope { topic: "t", kafka_time, publish_time: EventTime(NOW) };
        engine.event(
            json!({ "t": time, "p": "a", "k": "v" }).to_string().as_bytes(),
            &envelope,
            crate::engine::Before::Nothing,
        );
    }

    fn advance(engine: &mut Engine, event: i64, kafka: i64) {
        let clocks = Clocks { event: EventTime(event), kafka: EventTime(kafka), published: EventTime(NOW) };
        let watermarks = Watermarks { clocks, processing: EventTime(NOW) };
        engine.advance(&watermarks, EventTime(NOW), &mut Output::default());
    }

    #[test]
    fn late_events_are_reported_once() {
        let mut engine = engine("event");
        let mut oddities = Oddities::new(engine.flows());
        event(&mut engine, NOW);
        advance(&mut engine, NOW, NOW);
        assert_eq!(oddities.look(engine.flows()), []);
        for time in [NOW, NOW - 20_000, NOW, NOW - 30_000, NOW] {
            event(&mut engine, time);
        }
        // One late event was counted and reported before.
        assert_eq!(oddities.look(engine.flows()), [Oddity::Late { flow: "f".into(), late: 2, counted: 3 }]);
        event(&mut engine, NOW);
        assert_eq!(oddities.look(engine.flows()), []);
        assert_eq!(Oddities::new(engine.flows()).look(engine.flows()), [], "a recovered state");
    }

    #[test]
    fn seconds_for_milliseconds_are_reported() {
        let seconds = NOW / 1_000;
        for (time, clock, is_odd) in
            [("event", seconds, true), ("event", NOW, false), ("kafka", seconds, false)]
        {
            let mut engine = engine(time);
            event(&mut engine, clock);
            advance(&mut engine, clock, NOW);
            let odd = Oddities::new(engine.flows()).look(engine.flows());
            let expected = Oddity::Seconds { flow: "f".into(), watermark: EventTime(clock) };
            assert_eq!(odd, Vec::from_iter(is_odd.then_some(expected)), "{time} {clock}");
        }
    }
}
