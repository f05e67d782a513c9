//! Every pointer that a flow or the `[events]` section names has one slot; a reader fills the slots in one pass.
//!
//! Not here: reading.

use event::{events::EventsSettings, pointer::Pointer};

use crate::{
    digest::{SHARED, scope},
    flow::{Flow, Match, TimeKind, matching::Subject},
};

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
    pub(super) views: MatchSlots,
    pub(super) clicks: MatchSlots,
    pub(super) time: TimeKind,
    /// The view's value and the click's.
    pub(super) join: Option<(usize, usize)>,
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
            views: self.matching(&flow.views),
            clicks: self.matching(&flow.clicks),
            time: flow.time,
            join: flow.join.as_ref().map(|j| (self.of(&j.view), self.of(&j.click))),
        }
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
