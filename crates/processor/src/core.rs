//! The processor as a pure state machine: messages, marks and the current time in; rows and dead letters out.
//!
//! It holds everything that must survive a crash; see [`crate::saved`] for the encoding. It knows nothing of Pub/Sub,
//! checkpoints or tables, so tests and the simulation run it without any of them.

mod counting;

use std::sync::Arc;

use event::{EventTime, Mark, Partition, events::EventsSettings, ledger::Outcome, mark::Reason};

use flow::{Flow, row::DeadLetterRow};

use crate::{
    engine::{Engine, Output, Watermarks},
    frontier::{Abandoned, CaughtUp, Clocks, Frontier, Limits},
    records::{Origin, Record, Records},
    rejected::{FlowSet, Refused, Rejected},
};
use counting::{Counting, Event};

/// A data message with the attributes that the core needs.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    /// The record's position in Kafka; `None` if another producer published the message.
    pub position: Option<(&'a Partition, u64)>,
    /// The record's timestamp; `None` if it is missing or not positive.
    pub kafka_time: Option<EventTime>,
    /// When Pub/Sub received it.
    pub publish_time: EventTime,
    /// The event as JSON.
    pub payload: &'a [u8],
}

/// The frontier and the flows: the whole state that a checkpoint contains, apart from the outbox.
#[derive(Debug)]
pub struct Core {
    pub(crate) engine: Engine,
    pub(crate) frontier: Frontier,
    /// The offsets that a redrive may publish again.
    pub(crate) rejected: Rejected,
    /// The clocks of messages without positions. Such messages have no prefix, so only bounded out-of-orderness
    /// applies.
    pub(crate) unpositioned: Option<Clocks>,
    /// The highest publish time seen so far.
    pub(crate) published: EventTime,
    caught_up: CaughtUp,
    limits: Limits,
    output: Output,
    dead_letters: Vec<DeadLetterRow>,
    counters: Counters,
}

/// Counts since the process started, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Data messages that arrived for the first time.
    #[serde(rename = "messages")]
    pub events: u64,
    /// Data messages that had arrived before.
    pub redelivered: u64,
    /// Rejected offsets whose record a redrive published again, without the copies of these messages.
    pub redriven: u64,
    /// Marks that were applied.
    pub marks: u64,
    /// Messages on the marks subscription that are not marks.
    pub unreadable_marks: u64,
}

/// The allocator rounds sizes up and keeps freed memory in gaps between live allocations. This adds one tenth of the
/// requested bytes, measured with `make bench-recover`.
const ALLOCATOR_SHARE: u64 = 10;

/// The output of the core since the last [`Core::take_effects`].
#[derive(Debug, Default)]
pub struct Effects {
    /// Panes, and rows of progress.
    pub output: Output,
    /// Rejects.
    pub dead_letters: Vec<DeadLetterRow>,
}

impl Core {
    /// Creates a core with an empty state.
    pub fn new(events: &EventsSettings, flows: Vec<Flow>, limits: Limits, now: EventTime) -> Self {
        Self {
            engine: Engine::new(events, flows),
            frontier: Frontier::new(),
            rejected: Rejected::default(),
            unpositioned: None,
            published: EventTime::MIN,
            caught_up: CaughtUp::new(now),
            limits,
            output: Output::default(),
            dead_letters: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Reads and applies a data message with one event. Messages of Pub/Sub are read beforehand, see [`Self::records`].
    pub fn data(&mut self, data: &Data<'_>, now: EventTime) {
        self.one(data, None, now);
    }

    /// Reads and applies the message of a rejected record that the redrive with this number published again.
    pub fn redriven(&mut self, data: &Data<'_>, number: u64, now: EventTime) {
        self.one(data, Some(number), now);
    }

    fn one(&mut self, data: &Data<'_>, redrive: Option<u64>, now: EventTime) {
        let origin = Origin { kafka_time: data.kafka_time, publish_time: data.publish_time };
        let event = Event::Unread(data.payload);
        let (mut counting, frontier) = self.split(now);
        match data.position {
            Some((partition, offset)) => {
                counting.record(frontier.track(partition), (partition, offset), (&origin, redrive), event);
            }
            None => counting.unpositioned(&origin, event),
        }
    }

    /// Applies records that were read.
    pub fn records(&mut self, records: &Records, now: EventTime) {
        let (mut counting, frontier) = self.split(now);
        for run in records.runs() {
            let event = |record: &Record| match &record.event {
                Ok(number) => Event::Read(records.digest(*number)),
                Err(refusal) => Event::Refused((**refusal).clone()),
            };
            match records.partition(&run[0]) {
                Some(partition) => {
                    let track = frontier.track(partition);
                    for record in run {
                        let position = (partition, record.offset);
                        counting.record(track, position, (&record.origin, record.redrive), event(record));
                    }
                }
                None => run.iter().for_each(|record| counting.unpositioned(&record.origin, event(record))),
            }
        }
    }

    /// What counts a record, and what knows which records were counted.
    fn split(&mut self, now: EventTime) -> (Counting<'_>, &mut Frontier) {
        let Self {
            engine,
            frontier,
            rejected,
            unpositioned,
            published,
            caught_up,
            dead_letters,
            counters,
            ..
        } = self;
        let counting =
            Counting { engine, rejected, unpositioned, published, caught_up, dead_letters, counters, now };
        (counting, frontier)
    }

    /// Applies a mark. `published` is the mark's publish time.
    pub fn mark(&mut self, mark: &Mark, published: EventTime, now: EventTime) {
        self.counters.marks += 1;
        self.caught_up.mark(published, now);
        for covered in self.frontier.mark(mark, published, now) {
            let outcome = match &covered.reason {
                Reason::Rejected(_) => Outcome::Rejected,
                Reason::Filtered => Outcome::Filtered,
                Reason::Empty | Reason::Before => Outcome::Absent,
                Reason::Lost => Outcome::Lost,
            };
            self.engine.account(outcome, covered.offsets.end - covered.offsets.start);
            if let Reason::Rejected(code) = covered.reason {
                let flows = FlowSet::first(self.engine.flows.len());
                let refused = Refused { flows, is_taken: false, redrive: 0 };
                self.rejected.set(&covered.partition, covered.offsets.clone(), Some(refused));
                for offset in covered.offsets {
                    self.dead_letters.push(DeadLetterRow {
                        topic: covered.partition.topic.clone(),
                        partition: covered.partition.partition,
                        offset,
                        stage: Arc::from("connector"),
                        reason: code.clone(),
                        pointer: covered.pointer.clone(),
                        seen_at: now,
                    });
                }
            }
        }
    }

    /// Counts a message on the marks subscription that is not a mark.
    pub fn unreadable_mark(&mut self) {
        self.counters.unreadable_marks += 1;
    }

    /// Advances holes, idle partitions, watermarks and windows to `now`. Returns the holes that were abandoned.
    pub fn tick(&mut self, now: EventTime) -> Vec<Abandoned> {
        let caught_up = self.caught_up.is(now);
        let abandoned = self.frontier.tick(now, caught_up, &self.limits);
        if self.frontier.take_forgotten() {
            let frontier = &self.frontier;
            self.rejected.retain(|partition| frontier.knows(partition));
        }
        for hole in &abandoned {
            let outcome = if hole.before_start { Outcome::Absent } else { Outcome::Lost };
            self.engine.account(outcome, hole.offsets.end - hole.offsets.start);
        }
        let watermarks = self.watermarks(now);
        self.engine.advance(&watermarks, now, &mut self.output);
        abandoned
    }

    fn watermarks(&mut self, now: EventTime) -> Watermarks {
        let frontier = self.frontier.advance(&self.limits);
        let is_marked = self.frontier.is_marked();
        // Without a backlog, messages without positions are at most a few seconds old when they arrive, so their clock
        // may advance without events.
        if self.caught_up.is(now) {
            self.published = self.published.max(now);
        }
        let (clocks, processing) = match self.unpositioned {
            None if is_marked => (frontier, frontier.published),
            None => (frontier, self.published),
            Some(unpositioned) if is_marked => {
                (frontier.min(unpositioned), frontier.published.min(self.published))
            }
            Some(unpositioned) => (unpositioned, self.published),
        };
        Watermarks { clocks, processing }
    }

    /// Fires LATE and EARLY panes. Called before each checkpoint, so that its panes contain every event that it covers.
    pub fn fire_changed(&mut self, now: EventTime) {
        self.engine.fire_changed(now, &mut self.output);
    }

    /// Adds a row of progress for every flow, at the end of a run.
    pub fn progress(&mut self, now: EventTime) {
        let progress = self.engine.progress(now);
        self.output.progress.extend(progress);
    }

    /// Takes the output since the last call.
    pub fn take_effects(&mut self) -> Effects {
        Effects {
            output: std::mem::take(&mut self.output),
            dead_letters: std::mem::take(&mut self.dead_letters),
        }
    }

    /// Whether any panes have not been taken yet.
    pub fn has_rows(&self) -> bool {
        !self.output.rows.is_empty()
    }

    /// The flows with their state.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The frontier.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The offsets that a redrive may publish again.
    pub fn rejected(&self) -> &Rejected {
        &self.rejected
    }

    /// Whether any message without a position has arrived, because another producer publishes to the topic.
    pub fn has_unpositioned(&self) -> bool {
        self.unpositioned.is_some()
    }

    /// The frontier's bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the processor is caught up with its subscriptions.
    pub fn is_caught_up(&self, now: EventTime) -> bool {
        self.caught_up.is(now)
    }

    /// Counts since the process started.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Approximate bytes in memory, with the allocator's overhead.
    pub fn bytes(&self) -> u64 {
        let asked = self.engine.bytes()
            + self.frontier.bytes()
            + self.rejected.bytes()
            + 200 * self.dead_letters.len() as u64;
        asked + asked / ALLOCATOR_SHARE
    }
}

#[cfg(test)]
mod tests {
    use event::{
        Millis,
        mark::{MarkRange, PartitionMark},
    };

    use super::*;

    fn rejects(offsets: std::ops::Range<u64>) -> Mark {
        let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 };
        let reason = Reason::Rejected("tombstone".to_owned());
        let range = MarkRange { from: offsets.start, to: offsets.end, reason, pointer: None };
        let (position, committed, end) = (offsets.end, None, None);
        let entry = PartitionMark { partition, ranges: vec![range], position, committed, end };
        Mark {
            version: Mark::VERSION,
            replica: "a".to_owned(),
            sequence: 1,
            partitions: vec![entry],
            topics: vec![],
            outputs: Vec::new(),
        }
    }

    /// After a crash the connector may split its ranges differently.
    #[test]
    fn a_refused_record_is_told_of_once_whatever_range_it_comes_in() {
        let limits = Limits { idle_after: Millis(1), hole_limit: Millis(1), cold_start: Millis(1) };
        let events =
            serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section is complete");
        let now = EventTime(0);
        let mut core = Core::new(&events, Vec::new(), limits, now);
        for offsets in [4..5, 8..10, 3..11, 8..11] {
            core.mark(&rejects(offsets), now, now);
        }
        let mut numbers: Vec<u64> =
            core.take_effects().dead_letters.iter().map(|letter| letter.offset).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (3..11).collect::<Vec<_>>());
    }

    /// Two flows, of which only one can use the events without `q`.
    fn redriven_core() -> (Core, Partition) {
        let limits = Limits { idle_after: Millis(1), hole_limit: Millis(1), cold_start: Millis(1) };
        let events = serde_json::from_value(serde_json::json!({ "time": "/t", "id": "/id" }));
        let flow = |name: &str, by: &str| {
            let flow: flow::FlowSettings = serde_json::from_value(serde_json::json!({
                "name": name, "by": { "page": by }, "measures": { "n": { "count": {} } }, "window": { "size": "10s" },
            }))
            .expect("the flow");
            Flow::try_from(flow).expect("the flow makes sense")
        };
        let flows = vec![flow("f", "/p"), flow("g", "/q")];
        let core = Core::new(&events.expect("the section"), flows, limits, EventTime(0));
        (core, Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 })
    }

    fn outcomes(core: &Core, outcome: Outcome) -> [u64; 2] {
        [0, 1].map(|flow| core.engine.flows[flow].ledger.get(outcome))
    }

    #[test]
    fn a_redriven_record_counts_once_in_the_flows_that_rejected_it() {
        let (mut core, partition) = redriven_core();
        let now = EventTime(1_700_000_000_000);
        let data = |offset: u64, payload: &'static [u8]| Data {
            position: Some((&partition, offset)),
            kafka_time: Some(now),
            publish_time: now,
            payload,
        };
        // The array cannot be a column, so that only the second flow rejects it.
        core.data(&data(0, br#"{"t":1699999999000,"p":"a","q":[],"id":1}"#), now);
        core.data(&data(1, br#"{"t":1699999999000,"p":"a","q":"b","id":2}"#), now);
        core.data(&data(2, b"no JSON"), now);
        assert_eq!(outcomes(&core, Outcome::Rejected), [1, 2]);
        let clocks = core.frontier.clone().advance(&core.limits);
        let good: &[u8] = br#"{"t":1699999999900,"p":"a","q":"b","id":1}"#;
        // Still rejected, with a line of its own; a copy of the message adds none.
        for _ in 0..2 {
            core.redriven(&data(0, br#"{"t":1699999999000,"p":"a","q":{},"id":1}"#), 1, now);
        }
        assert_eq!((core.counters.redriven, core.dead_letters.len()), (1, 3));
        // The first redrive is over: a late copy of it changes nothing, whatever it contains.
        core.redriven(&data(0, good), 1, now);
        assert_eq!(outcomes(&core, Outcome::Rejected), [1, 2]);
        for number in [2, 2, 3] {
            core.redriven(&data(0, good), number, now);
        }
        // Its ID is its own, as the first flow took the record.
        assert_eq!(outcomes(&core, Outcome::Counted), [2, 2]);
        assert_eq!(outcomes(&core, Outcome::Rejected), [1, 1]);
        // The ID of the other is known: the producer wrote a corrected copy.
        core.redriven(&data(2, good), 3, now);
        assert_eq!(outcomes(&core, Outcome::Duplicate), [1, 1]);
        assert_eq!(core.engine.flows[0].ledger.total(), 3);
        assert_eq!(core.rejected.offsets(), 0);
        assert_eq!(core.frontier.clone().advance(&core.limits), clocks, "no clock moves");
    }

    #[test]
    fn what_was_never_rejected_is_not_counted_again() {
        let (mut core, partition) = redriven_core();
        let now = EventTime(1_700_000_000_000);
        core.mark(&rejects(3..5), now, now);
        let payload: &[u8] = br#"{"t":1699999999900,"p":"a","q":"b"}"#;
        let data = |offset| Data {
            position: Some((&partition, offset)),
            kafka_time: Some(now),
            publish_time: now,
            payload,
        };
        core.data(&data(5), now);
        for offset in [3, 5, 3] {
            core.redriven(&data(offset), 1, now);
        }
        assert_eq!(outcomes(&core, Outcome::Counted), [2, 2]);
        assert_eq!(outcomes(&core, Outcome::Rejected), [1, 1]);
        assert_eq!(core.rejected.newest(), 1);
    }

    /// Messages that a killed processor had leased are redelivered only when their lease ends, after newer messages.
    #[test]
    fn processing_time_waits_for_what_was_published_before() {
        let limits =
            Limits { idle_after: Millis(60_000), hole_limit: Millis(600_000), cold_start: Millis(1) };
        let events = serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section");
        let flow: flow::FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
            "window": { "size": "10s" }, "time": "processing", "out_of_orderness": "0s", "allowed_lateness": "0s",
        }))
        .expect("the flow");
        let flow = Flow::try_from(flow).expect("the flow makes sense");
        let mut core = Core::new(&events, vec![flow], limits, EventTime(0));
        let partition = Partition { topic: "events".into(), incarnation: "id".into(), partition: 0 };
        let named = event::mark::TopicMark {
            topic: "events".into(),
            incarnation: "id".into(),
            partitions: 1,
            asked_at: EventTime(100_000),
        };
        let mark = Mark { partitions: Vec::new(), topics: vec![named], ..rejects(0..0) };
        core.mark(&mark, EventTime(100_000), EventTime(100_000));
        // Offset n was published at second n.
        for offset in (30..60).chain(0..30) {
            let at = EventTime(1_000 * offset);
            let data = Data {
                position: Some((&partition, offset as u64)),
                kafka_time: Some(at),
                publish_time: at,
                payload: br#"{"t":0,"p":"a","k":"v"}"#,
            };
            core.data(&data, EventTime(100_000));
            core.tick(EventTime(100_000));
        }
        let rows = core.take_effects().output.rows.into_iter().flat_map(|(_, rows)| rows);
        let views: Vec<u64> = rows.map(|row| flow::row::weight(&row.values)).collect();
        assert_eq!(views, [10; 5]);
    }
}
