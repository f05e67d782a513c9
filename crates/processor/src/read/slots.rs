//! Every pointer that a flow or the `[events]` section names has one slot; a reader fills the slots in one pass.
//!
//! Not here: reading.

use event::{events::EventsSettings, pointer::Pointer};

use flow::{
    Flow, TimeKind,
    matching::{Match, Subject},
    measure::{Aggregation, Fed, Feeds, Source},
};

use crate::digest::{SHARED, scope};

/// Where the events of a topic keep time and id.
#[derive(Clone, Debug)]
pub(super) struct TopicSlots {
    /// `None`: every topic that is not named.
    pub(super) topic: Option<String>,
    pub(super) time: usize,
    pub(super) time_pointer: Pointer,
    pub(super) id: Option<(usize, Pointer)>,
    /// Ids that are declared for a topic identify events of that topic only: the topic is part of their hash.
    pub(super) id_scope: u64,
}

/// Where a flow finds what it looks at.
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

/// A measure, and where its input is.
#[derive(Clone, Debug)]
pub(super) struct FedSlots {
    pub(super) bit: Feeds,
    /// Which events feed it; all if there is none.
    pub(super) events: Option<MatchSlots>,
    pub(super) input: Option<InputSlot>,
}

/// Where a measure finds its input.
#[derive(Clone, Debug)]
pub(super) struct InputSlot {
    pub(super) slot: usize,
    pub(super) pointer: Pointer,
    /// Whether it is a number; otherwise any scalar.
    pub(super) is_number: bool,
}

/// Where view and click have the value that they share.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinSlots {
    pub(super) view: usize,
    pub(super) click: usize,
    /// The measures that say which of both an event is.
    pub(super) views: Feeds,
    pub(super) clicks: Feeds,
}

/// A match, and the slot of each of its terms.
#[derive(Clone, Debug)]
pub(super) struct MatchSlots {
    pub(super) of: Match,
    pub(super) slots: Vec<usize>,
}

/// Gives every pointer one slot.
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

    /// A measure of a flow, if events feed it.
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
