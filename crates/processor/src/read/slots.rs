//! Assigns a slot to every pointer that a flow or the `[events]` section names, so that one pass over the payload fills
//! them all.

use event::{events::EventsSettings, pointer::Pointer};

use flow::{
    Flow, TimeKind,
    matching::{Match, Subject},
    measure::{Aggregation, Fed, Feeds, Source},
};

use crate::digest::{SHARED, scope};

/// The slots of time and ID in the events of a topic.
#[derive(Clone, Debug)]
pub(super) struct TopicSlots {
    /// `None` for every topic without an entry of its own.
    pub(super) topic: Option<String>,
    pub(super) time: usize,
    pub(super) time_pointer: Pointer,
    pub(super) id: Option<(usize, Pointer)>,
    /// The scope of IDs. IDs that are declared for a topic identify events of that topic only.
    pub(super) id_scope: u64,
}

/// The slots that a flow needs.
#[derive(Clone, Debug)]
pub(super) struct FlowSlots {
    pub(super) by: Vec<(usize, Pointer)>,
    /// Events that do not match are ignored.
    pub(super) events: Option<MatchSlots>,
    /// The measures that events feed.
    pub(super) fed: Vec<FedSlots>,
    pub(super) time: TimeKind,
    pub(super) join: Option<JoinSlots>,
}

/// A measure and the slot of its input.
#[derive(Clone, Debug)]
pub(super) struct FedSlots {
    pub(super) bit: Feeds,
    /// The events that feed it; all if `None`.
    pub(super) events: Option<MatchSlots>,
    pub(super) input: Option<InputSlot>,
}

/// The slot of a measure's input.
#[derive(Clone, Debug)]
pub(super) struct InputSlot {
    pub(super) slot: usize,
    pub(super) pointer: Pointer,
    /// Whether the input must be a number; otherwise any scalar is accepted.
    pub(super) is_number: bool,
}

/// The slots of the value that views and clicks share.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinSlots {
    pub(super) view: usize,
    pub(super) click: usize,
    /// The measures that determine whether an event is a view or a click.
    pub(super) views: Feeds,
    pub(super) clicks: Feeds,
}

/// A match with the slot of each term.
#[derive(Clone, Debug)]
pub(super) struct MatchSlots {
    pub(super) of: Match,
    pub(super) slots: Vec<usize>,
}

/// Assigns one slot to each distinct pointer.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) pointers: Vec<Pointer>,
}

impl Slots {
    fn of(&mut self, pointer: &Pointer) -> usize {
        if let Some(slot) = self.pointers.iter().position(|p| p == pointer) {
            return slot;
        }
        self.pointers.push(pointer.clone());
        self.pointers.len() - 1
    }

    pub(super) fn topic(&mut self, events: &EventsSettings, topic: Option<&String>) -> TopicSlots {
        let name = topic.map_or("", String::as_str);
        let time_pointer = if topic.is_some() { events.time_for(name) } else { &events.time };
        let id_pointer = if topic.is_some() { events.id_for(name) } else { events.id.as_ref() };
        let has_own_id = events.topics.get(name).is_some_and(|own| own.id.is_some());
        TopicSlots {
            topic: topic.cloned(),
            id_scope: if has_own_id { scope(name) } else { SHARED },
            time: self.of(time_pointer),
            time_pointer: time_pointer.clone(),
            id: id_pointer.map(|p| (self.of(p), p.clone())),
        }
    }

    pub(super) fn flow(&mut self, flow: &Flow) -> FlowSlots {
        FlowSlots {
            by: flow.by.iter().map(|(_, p)| (self.of(p), p.clone())).collect(),
            events: flow.events.as_ref().map(|events| self.matching(events)),
            fed: (0..flow.fed.len()).filter_map(|number| self.fed(flow, number)).collect(),
            time: flow.time,
            join: flow.join.as_ref().map(|join| JoinSlots {
                view: self.of(&join.view),
                click: self.of(&join.click),
                views: flow.feeds(Source::Views),
                clicks: flow.feeds(Source::Clicks),
            }),
        }
    }

    /// The slots of a measure of a flow; `None` if events do not feed it.
    fn fed(&mut self, flow: &Flow, number: usize) -> Option<FedSlots> {
        let Fed { aggregation, events, source, .. } = &flow.fed[number];
        let events = match source {
            Source::Events => events.as_ref(),
            Source::Views => flow.ctr.as_ref().map(|ctr| &ctr.views),
            Source::Clicks => flow.ctr.as_ref().map(|ctr| &ctr.clicks),
            Source::Join => return None,
        };
        let is_number = !matches!(aggregation, Aggregation::Distinct { .. });
        Some(FedSlots {
            bit: 1 << number,
            events: events.map(|events| self.matching(events)),
            input: aggregation.at().map(|pointer| InputSlot {
                slot: self.of(pointer),
                pointer: pointer.clone(),
                is_number,
            }),
        })
    }

    fn matching(&mut self, of: &Match) -> MatchSlots {
        let mut slot = |subject: &Subject| match subject {
            Subject::Topic => 0,
            Subject::At(pointer) => self.of(pointer),
        };
        let slots = of.terms.iter().map(|term| slot(&term.subject)).collect();
        MatchSlots { of: of.clone(), slots }
    }
}
