//! From a payload to what the flows need of it: one pass over the bytes for all flows together.
//!
//! Not here: whether an event is late or was seen before.

use event::{
    EventTime, Millis,
    events::{EventsSettings, event_time},
    pick::{Picker, Value},
    pointer::Pointer,
};

use crate::flow::{Flow, Match, TimeKind, matching::Subject};

/// Reads events for a fixed set of flows.
#[derive(Clone, Debug)]
pub struct Reader {
    picker: Picker,
    /// General time and id, then those of topics that have their own.
    topics: Vec<TopicSlots>,
    flows: Vec<FlowSlots>,
    future: Millis,
}

#[derive(Clone, Debug)]
struct TopicSlots {
    /// `None`: every topic that is not named.
    topic: Option<String>,
    time: usize,
    time_pointer: Pointer,
    id: Option<(usize, Pointer)>,
}

#[derive(Clone, Debug)]
struct FlowSlots {
    by: Vec<(usize, Pointer)>,
    views: Match,
    views_slots: Vec<usize>,
    clicks: Match,
    clicks_slots: Vec<usize>,
    time: TimeKind,
    join: Option<(usize, usize)>,
}

/// What surrounds a payload.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The Kafka topic; empty without a position.
    pub topic: &'a str,
    /// The record's timestamp; absent when missing or not positive.
    pub kafka_time: Option<EventTime>,
    /// When Pub/Sub received it; for a file, the present.
    pub publish_time: EventTime,
}

/// Why an event is refused, with the declared pointer that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code.
    pub reason: &'static str,
    /// The declared pointer.
    pub pointer: Option<String>,
}

/// The values that the flows look at; reused from event to event.
#[derive(Debug)]
pub struct Reading<'a> {
    values: Vec<Value<'a>>,
    slots: usize,
    /// The event's own time, or why it has none.
    pub time: Result<EventTime, Refusal>,
}

/// What an event means to one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// It counts as a view.
    pub view: bool,
    /// It counts as a click.
    pub click: bool,
}

impl Reader {
    /// A reader for these flows.
    pub fn new(events: &EventsSettings, flows: &[Flow]) -> Self {
        let mut slots = Slots::default();
        let mut topics: Vec<TopicSlots> =
            events.topics.keys().map(|topic| slots.topic(events, Some(topic))).collect();
        topics.push(slots.topic(events, None));
        let flows = flows.iter().map(|flow| slots.flow(flow)).collect();
        Self { picker: Picker::new(&slots.pointers), topics, flows, future: events.future }
    }

    /// Reads one payload.
    ///
    /// # Errors
    /// When the payload is no JSON object.
    pub fn read<'a>(&self, payload: &'a [u8], envelope: &Envelope<'_>) -> Result<Reading<'a>, Refusal> {
        let mut values = Vec::new();
        self.picker
            .pick(payload, &mut values)
            .map_err(|e| Refusal { reason: e.kind.code(), pointer: None })?;
        let slots = self
            .topics
            .iter()
            .position(|t| t.topic.as_deref().is_none_or(|name| name == envelope.topic))
            .unwrap_or(self.topics.len() - 1);
        let time = self.time(&values[self.topics[slots].time], slots, envelope);
        Ok(Reading { values, slots, time })
    }

    fn time(&self, value: &Value<'_>, slots: usize, envelope: &Envelope<'_>) -> Result<EventTime, Refusal> {
        let refuse = |reason| Refusal { reason, pointer: Some(self.topics[slots].time_pointer.to_string()) };
        let time = event_time(value).ok_or_else(|| refuse("time"))?;
        let newest = envelope.kafka_time.unwrap_or(envelope.publish_time) + self.future;
        if time > newest { Err(refuse("future")) } else { Ok(time) }
    }

    /// The event's id.
    ///
    /// # Errors
    /// When an array or object stands where the id should.
    pub fn id<'r>(&self, reading: &'r Reading<'_>) -> Result<Option<&'r str>, Refusal> {
        let Some((slot, pointer)) = &self.topics[reading.slots].id else { return Ok(None) };
        let value = &reading.values[*slot];
        if value.is_container() {
            return Err(Refusal { reason: "unexpected-shape", pointer: Some(pointer.to_string()) });
        }
        Ok(value.scalar())
    }

    /// Whether a flow counts the event, and as what.
    pub fn role(&self, flow: usize, reading: &Reading<'_>, topic: &str) -> Role {
        let slots = &self.flows[flow];
        Role {
            view: matches(&slots.views, &slots.views_slots, reading, topic),
            click: matches(&slots.clicks, &slots.clicks_slots, reading, topic),
        }
    }

    /// The time that a flow goes by.
    ///
    /// # Errors
    /// When the event does not have it.
    pub fn flow_time(
        &self,
        flow: usize,
        reading: &Reading<'_>,
        envelope: &Envelope<'_>,
    ) -> Result<EventTime, Refusal> {
        match self.flows[flow].time {
            TimeKind::Event => reading.time.clone(),
            TimeKind::Kafka => envelope.kafka_time.ok_or(Refusal { reason: "no-timestamp", pointer: None }),
            TimeKind::Processing => Ok(envelope.publish_time),
        }
    }

    /// The values of a flow's columns.
    ///
    /// # Errors
    /// When an array or object stands where a column's value should.
    pub fn key<'r>(
        &self,
        flow: usize,
        reading: &'r Reading<'_>,
        out: &mut Vec<Option<&'r str>>,
    ) -> Result<(), Refusal> {
        out.clear();
        for (slot, pointer) in &self.flows[flow].by {
            let value = &reading.values[*slot];
            if value.is_container() {
                return Err(Refusal { reason: "unexpected-shape", pointer: Some(pointer.to_string()) });
            }
            out.push(value.scalar());
        }
        Ok(())
    }

    /// What a view or a click has in common with its partner; nothing where it is missing or no scalar.
    pub fn join_value<'r>(&self, flow: usize, reading: &'r Reading<'_>, view: bool) -> Option<&'r str> {
        let (view_slot, click_slot) = self.flows[flow].join?;
        reading.values[if view { view_slot } else { click_slot }].scalar()
    }
}

fn matches(of: &Match, slots: &[usize], reading: &Reading<'_>, topic: &str) -> bool {
    of.terms.iter().zip(slots).all(|(term, &slot)| match term.subject {
        Subject::Topic => term
            .any_of
            .iter()
            .any(|scalar| matches!(scalar, crate::flow::matching::Scalar::Text(t) if t == topic)),
        Subject::At(_) => term.any_of.iter().any(|scalar| scalar.is(&reading.values[slot])),
    })
}

/// Gives every pointer one slot.
#[derive(Default)]
struct Slots {
    pointers: Vec<Pointer>,
}

impl Slots {
    fn of(&mut self, pointer: &Pointer) -> usize {
        if let Some(slot) = self.pointers.iter().position(|p| p == pointer) {
            return slot;
        }
        self.pointers.push(pointer.clone());
        self.pointers.len() - 1
    }

    fn topic(&mut self, events: &EventsSettings, topic: Option<&String>) -> TopicSlots {
        let name = topic.map_or("", String::as_str);
        let time_pointer = if topic.is_some() { events.time_for(name) } else { &events.time };
        let id_pointer = if topic.is_some() { events.id_for(name) } else { events.id.as_ref() };
        TopicSlots {
            topic: topic.cloned(),
            time: self.of(time_pointer),
            time_pointer: time_pointer.clone(),
            id: id_pointer.map(|p| (self.of(p), p.clone())),
        }
    }

    fn flow(&mut self, flow: &Flow) -> FlowSlots {
        let mut terms = |of: &Match| -> Vec<usize> {
            of.terms
                .iter()
                .map(|term| match &term.subject {
                    Subject::Topic => 0,
                    Subject::At(pointer) => self.of(pointer),
                })
                .collect()
        };
        let (views_slots, clicks_slots) = (terms(&flow.views), terms(&flow.clicks));
        FlowSlots {
            by: flow.by.iter().map(|(_, p)| (self.of(p), p.clone())).collect(),
            views: flow.views.clone(),
            views_slots,
            clicks: flow.clicks.clone(),
            clicks_slots,
            time: flow.time,
            join: flow.join.as_ref().map(|j| (self.of(&j.view), self.of(&j.click))),
        }
    }
}
