//! The windows of one flow. A kind of windows is a file: [`Aligned`] and [`Sessions`].
//!
//! Pure: the watermark and the time are arguments.

mod aligned;
mod bits;
mod cells;
pub mod keys;
pub mod saved;
mod sessions;
mod slices;

use event::EventTime;
use flow::{
    Flow, Window,
    measure::Change,
    row::{Row, Value, Values},
    window::WindowKind,
};

use crate::digest::HashedKey;

pub use self::{aligned::Aligned, sessions::Sessions};

/// The windows of one flow.
#[derive(Debug)]
pub enum WindowSet {
    /// The same for all keys.
    Aligned(Box<Aligned>),
    /// For each key its own.
    Sessions(Box<Sessions>),
}

/// Whether an event found a window that still takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// At least one of its windows counts it.
    Counted,
    /// Too late for all its windows.
    Late,
    /// Between two windows.
    Between {
        /// Whether the window before it still takes events.
        open: bool,
    },
}

/// Since when each stored measure counts; empty where all have from the beginning. Windows that begin earlier lack events of
/// a measure that was added later, so it is NULL there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since(Vec<EventTime>);

/// The same call for every kind of windows.
macro_rules! each {
    ($set:expr, $windows:ident => $call:expr) => {
        match $set {
            WindowSet::Aligned($windows) => $call,
            WindowSet::Sessions($windows) => $call,
        }
    };
}

impl WindowSet {
    /// No events yet, and a watermark that knows nothing.
    pub fn new(flow: &Flow) -> Self {
        match &flow.windows {
            WindowKind::Aligned(windows) => Self::Aligned(Box::new(Aligned::new(windows.clone(), flow))),
            WindowKind::Sessions { gap } => Self::Sessions(Box::new(Sessions::new(*gap, flow))),
        }
    }

    /// The fate of an event at a time.
    #[inline]
    pub fn fate(&mut self, time: EventTime) -> Fate {
        each!(self, windows => windows.fate(time))
    }

    /// Counts an event, or takes one back.
    #[inline]
    pub fn count(&mut self, key: HashedKey<'_>, time: EventTime, change: &Change<'_>) -> Fate {
        each!(self, windows => windows.count(key, time, change))
    }

    /// Reads where these keys are (see [`Keys::touch`](keys::Keys::touch)).
    pub(crate) fn touch<'k>(&self, keys: impl Iterator<Item = HashedKey<'k>>) {
        each!(self, windows => windows.keys.touch(keys));
    }

    /// Fires LATE panes of everything that late events changed since the last call.
    pub fn fire_late(&mut self, now: EventTime, rows: &mut Vec<Row>) {
        each!(self, windows => windows.fire_late(now, rows));
    }

    /// Fires EARLY panes of every open window and key that changed since the last call.
    pub fn fire_early(&mut self, now: EventTime, rows: &mut Vec<Row>) {
        each!(self, windows => windows.fire_early(now, rows));
    }

    /// Moves the watermark. Windows whose end it reaches fire ON_TIME in order of their ends, and what no event can change
    /// any more is forgotten. A watermark that goes back changes nothing. `fired` gets rows as they fire, and takes them
    /// out.
    pub fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<Row>,
        fired: &mut dyn FnMut(&mut Vec<Row>),
    ) {
        each!(self, windows => windows.advance(watermark, now, rows, fired));
    }

    /// Records what changes no longer: for a run without checkpoints.
    pub fn never_saved(&mut self) {
        each!(self, windows => windows.never_saved());
    }

    /// The flow's watermark.
    #[inline]
    pub fn watermark(&self) -> EventTime {
        each!(self, windows => windows.watermark)
    }

    /// Since when each stored measure counts.
    pub fn since(&self) -> &Since {
        each!(self, windows => &windows.since)
    }

    /// Measures count since then.
    pub fn set_since(&mut self, since: Since) {
        each!(self, windows => windows.since = since);
    }

    /// The flow had a measure that it no longer has.
    pub fn measure_removed(&mut self) {
        if let Self::Aligned(aligned) = self {
            aligned.measure_removed();
        }
    }

    /// Just past the last event that was counted, or later: windows that begin there have lost no event.
    pub fn end_of_events(&self) -> EventTime {
        each!(self, windows => windows.end_of_events().max(windows.watermark))
    }

    /// What the window that holds a time has now, for a flow without sessions.
    #[cfg(test)]
    pub(crate) fn counts(
        &self,
        flow: &Flow,
        time: EventTime,
    ) -> std::collections::BTreeMap<event::Key, Values> {
        match (self, &flow.windows) {
            (Self::Aligned(aligned), WindowKind::Aligned(windows)) => aligned.counts(windows.last(time)),
            _ => panic!("the flow has sessions"),
        }
    }

    /// How many keys have counts.
    pub fn key_count(&self) -> usize {
        each!(self, windows => windows.key_count())
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        each!(self, windows => windows.bytes())
    }
}

impl Since {
    /// For each measure, in order.
    pub fn new(since: Vec<EventTime>) -> Self {
        let is_whole = since.iter().all(|since| *since == EventTime::MIN);
        Self(if is_whole { Vec::new() } else { since })
    }

    /// Since when a measure counts.
    pub fn of(&self, measure: usize) -> EventTime {
        self.0.get(measure).copied().unwrap_or(EventTime::MIN)
    }

    fn hide(&self, window: Window, values: &mut Values) {
        for (since, value) in self.0.iter().zip(values) {
            if window.start < *since {
                *value = Value::Null;
            }
        }
    }
}

#[cfg(test)]
mod tests;
