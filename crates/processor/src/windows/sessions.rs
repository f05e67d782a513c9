//! Sessions: for each key, events with less than the gap between them.
//!
//! An event opens the window from its time to its time plus the gap, and windows of one key that overlap are merged, as
//! in Apache Beam. A session fires ON_TIME when the watermark reaches its end. If a late event changes it afterwards, it
//! fires LATE, unless the event extends it past the watermark: then it is open again, fires EARLY, and ON_TIME once more at
//! its new end. Without that EARLY pane the table would show the pane of a session that is over until the new end, which
//! may be long after that pane has become final. The panes of merged sessions are counted together, so that a pane always
//! has a higher index than all panes that it replaces.
//!
//! An event is late when its own window, before any merging, ended at least the allowed lateness before the watermark.
//! A session is kept for one more gap after its lateness, because an event that is not late may still overlap it until
//! then. Apache Beam drops it earlier and would show two overlapping sessions; here the outcome does not depend on the
//! order of arrival.

use std::collections::{BTreeMap, BTreeSet};

use event::{EventTime, Millis};
use flow::{
    Flow, Window,
    measure::{Change, Columns, SavedColumn},
    row::{Pane, Replaced, Row},
};
use serde::{Deserialize, Serialize};

use super::{
    Fate, Since,
    keys::{KeyId, Keys},
};
use crate::{digest::HashedKey, saved::Room};

/// The sessions of a flow.
#[derive(Debug)]
pub struct Sessions {
    gap: Millis,
    allowed_lateness: Millis,
    early: bool,
    pub(super) keys: Keys,
    sessions: BTreeMap<Id, Session>,
    /// All sessions by their end.
    by_end: BTreeSet<(EventTime, Id)>,
    /// The counts of a session are in its row.
    columns: Columns,
    free: Vec<usize>,
    /// Sessions that end at or before it have fired.
    pub(super) watermark: EventTime,
    /// Events whose own window ends at or before it are late. It never goes back.
    pub(super) closed: EventTime,
    pub(super) since: Since,
    /// Sessions whose newest pane a late event made wrong: those that ended before the watermark, and open ones that have
    /// fired after their end at the time.
    late: BTreeSet<Id>,
    /// Open sessions that changed since the last early panes.
    unseen: BTreeSet<Id>,
    /// For sessions that have not fired with their window, the windows of the panes that their next one replaces.
    replaced: BTreeMap<Id, Vec<Window>>,
    is_saved: bool,
    /// Sessions that changed or went since the last checkpoint.
    unsaved: BTreeSet<Id>,
}

/// The key and the start of a session. Sessions of one key do not overlap.
type Id = (KeyId, EventTime);

#[derive(Clone, Copy, Debug)]
struct Session {
    end: EventTime,
    row: usize,
    /// How many panes it and the sessions that it merged have fired.
    panes: u32,
    /// Whether a pane has fired with its window as it is.
    has_fired: bool,
}

/// Sessions in a checkpoint: what changed, a part of all, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSessions {
    /// Key and start of sessions that are over, or part of another one.
    pub gone: Vec<(KeyId, EventTime)>,
    /// The others.
    pub sessions: Vec<SavedSession>,
    /// Their counts, a row for each.
    pub columns: Vec<SavedColumn>,
    /// The panes of each, in the same order. It is at the end of a checkpoint, because earlier ones of this format lack it.
    #[serde(skip)]
    pub fired: Vec<SavedFired>,
}

/// Which panes of a session are in its table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFired {
    /// Whether one has the session's window.
    pub has_fired: bool,
    /// The windows of the others.
    pub replaced: Vec<Window>,
}

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    /// The key.
    pub key: KeyId,
    /// The window.
    pub window: Window,
    /// How many panes have fired.
    pub panes: u32,
}

impl Sessions {
    /// No events yet, and a watermark that knows nothing.
    pub(super) fn new(gap: Millis, flow: &Flow) -> Self {
        Self {
            gap,
            allowed_lateness: flow.allowed_lateness,
            early: flow.early.is_some(),
            keys: Keys::default(),
            sessions: BTreeMap::new(),
            by_end: BTreeSet::new(),
            columns: Columns::new(&flow.fed, flow.takes_back()),
            free: Vec::new(),
            watermark: EventTime::MIN,
            closed: EventTime::MIN,
            since: Since::default(),
            late: BTreeSet::new(),
            unseen: BTreeSet::new(),
            replaced: BTreeMap::new(),
            is_saved: true,
            unsaved: BTreeSet::new(),
        }
    }

    pub(super) fn fate(&self, time: EventTime) -> Fate {
        if time + self.gap <= self.closed { Fate::Late } else { Fate::Counted }
    }

    /// Counts an event.
    pub(super) fn count(&mut self, key: HashedKey<'_>, time: EventTime, change: &Change<'_>) -> Fate {
        debug_assert!(change.times > 0, "a flow with sessions has no join, so nothing is taken back");
        let fate = self.fate(time);
        if fate != Fate::Counted {
            return fate;
        }
        let key = self.keys.intern(key, self.is_saved);
        let (mut window, mut panes, mut row) = (Window { start: time, end: time + self.gap }, 0, None);
        let (mut is_reopened, mut replaced) = (false, Vec::new());
        for id in self.overlapping(key, window) {
            let has_changed = self.late.contains(&id);
            replaced.extend(self.replaced.remove(&id).into_iter().flatten());
            let session = self.take(id);
            replaced.extend(session.has_fired.then_some(Window { start: id.1, end: session.end }));
            is_reopened |= session.panes > 0 && (has_changed || session.end <= self.watermark);
            window.start = window.start.min(id.1);
            window.end = window.end.max(session.end);
            panes += session.panes;
            match row {
                None => row = Some(session.row),
                Some(row) => {
                    self.columns.merge_within(row, session.row);
                    self.release(key, session.row);
                }
            }
        }
        let row = row.unwrap_or_else(|| {
            self.keys.hold(key);
            self.new_row()
        });
        self.columns.add(row, change);
        let id = (key, window.start);
        // The pane of a session whose window stays as it is replaces the one before it anyway.
        let parts = replaced.len();
        replaced.retain(|part| *part != window);
        let has_fired = replaced.len() < parts;
        if !replaced.is_empty() {
            self.replaced.insert(id, replaced);
        }
        self.put(id, Session { end: window.end, row, panes, has_fired });
        if window.end <= self.watermark || is_reopened {
            self.late.insert(id);
        } else if self.early {
            self.unseen.insert(id);
        }
        fate
    }

    /// The sessions of a key that overlap a window no longer than the gap: two at most.
    fn overlapping(&self, key: KeyId, window: Window) -> Vec<Id> {
        let before = self.sessions.range((key, EventTime::MIN)..=(key, window.start)).next_back();
        let before = before.filter(|(_, session)| session.end > window.start);
        let after = self.sessions.range((key, window.start + Millis(1))..(key, window.end));
        before.into_iter().chain(after).map(|(id, _)| *id).collect()
    }

    /// An empty row for a session.
    fn new_row(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.columns.resize(self.columns.rows() + 1);
            self.columns.rows() - 1
        })
    }

    fn put(&mut self, id: Id, session: Session) {
        self.by_end.insert((session.end, id));
        self.sessions.insert(id, session);
        if self.is_saved {
            self.unsaved.insert(id);
        }
    }

    /// Removes a session; its row stays in use.
    fn take(&mut self, id: Id) -> Session {
        let session = self.sessions.remove(&id).expect("the session was found");
        self.replaced.remove(&id);
        self.by_end.remove(&(session.end, id));
        self.late.remove(&id);
        self.unseen.remove(&id);
        if self.is_saved {
            self.unsaved.insert(id);
        }
        session
    }

    fn release(&mut self, key: KeyId, row: usize) {
        self.columns.clear(row);
        self.free.push(row);
        self.keys.release(key);
    }

    /// Fires LATE panes of every session that late events changed since the last call, and EARLY ones of those that are
    /// open again.
    pub(super) fn fire_late(&mut self, now: EventTime, rows: &mut Vec<Row>) {
        let late = std::mem::take(&mut self.late);
        // In the order of their ends, as other windows fire.
        let mut late: Vec<_> = late.into_iter().map(|id| (self.sessions[&id].end, id)).collect();
        late.sort_unstable();
        let pane = |end| if end > self.watermark { Pane::Early } else { Pane::Late };
        let late: Vec<_> = late.into_iter().map(|(end, id)| (id, pane(end))).collect();
        rows.extend(late.into_iter().map(|(id, pane)| self.fire(id, pane, now)));
    }

    /// Fires EARLY panes of every open session that changed since the last call.
    pub(super) fn fire_early(&mut self, now: EventTime, rows: &mut Vec<Row>) {
        for id in std::mem::take(&mut self.unseen) {
            if self.sessions[&id].end > self.watermark {
                rows.push(self.fire(id, Pane::Early, now));
            }
        }
    }

    /// Moves the watermark; see [`super::WindowSet::advance`].
    pub(super) fn advance(
        &mut self,
        watermark: EventTime,
        now: EventTime,
        rows: &mut Vec<Row>,
        fired: &mut dyn FnMut(&mut Vec<Row>),
    ) {
        /// This many rows are passed on at once.
        const ROWS: usize = 1_024;
        if watermark <= self.watermark {
            return;
        }
        // What was late under the old watermark must be reported before its session is over.
        self.fire_late(now, rows);
        let from = std::mem::replace(&mut self.watermark, watermark);
        self.closed = self.closed.max(watermark - self.allowed_lateness);
        let after = (from, (KeyId::MAX, EventTime::MAX));
        let due = self.by_end.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        let due: Vec<Id> = due.take_while(|(end, _)| *end <= watermark).map(|(_, id)| *id).collect();
        for id in due {
            self.unseen.remove(&id);
            rows.push(self.fire(id, Pane::OnTime, now));
            if rows.len() >= ROWS {
                fired(rows);
            }
        }
        fired(rows);
        self.forget();
    }

    fn fire(&mut self, id: Id, pane: Pane, now: EventTime) -> Row {
        let session = self.sessions.get_mut(&id).expect("a session that fires is there");
        let (pane_index, window) = (session.panes, Window { start: id.1, end: session.end });
        session.panes += 1;
        session.has_fired = true;
        let replaced = Replaced::from(self.replaced.remove(&id).unwrap_or_default());
        let mut values = self.columns.values(session.row);
        if self.is_saved {
            self.unsaved.insert(id);
        }
        self.since.hide(window, &mut values);
        let key = self.keys.get(id.0).clone();
        Row { key, window, values, pane, pane_index, watermark: self.watermark, emitted_at: now, replaced }
    }

    /// Drops sessions that no event can change any more.
    fn forget(&mut self) {
        while let Some(&(end, id)) = self.by_end.first() {
            if end + self.gap > self.closed {
                break;
            }
            let session = self.take(id);
            self.release(id.0, session.row);
        }
    }

    /// Records what changes no longer: for a run without checkpoints.
    pub(super) fn never_saved(&mut self) {
        self.is_saved = false;
    }

    /// Just past the last event that was counted, or later.
    pub(super) fn end_of_events(&self) -> EventTime {
        self.by_end.last().map_or(EventTime::MIN, |(end, _)| *end - self.gap + Millis(1))
    }

    /// The number of keys with sessions.
    pub(super) fn key_count(&self) -> usize {
        self.keys.count()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        /// An entry of each of the two trees, whose nodes are little more than half full.
        const SESSION: usize = 120;
        /// An entry of a set of changes.
        const CHANGE: usize = 28;
        let changes = CHANGE * (self.unsaved.len() + self.unseen.len() + self.late.len());
        // Each has windows of sessions that have fired, mostly one.
        let replaced = SESSION * self.replaced.len();
        (SESSION * self.sessions.len() + changes + replaced + self.columns.bytes() + self.keys.bytes()) as u64
    }
}

/// Into checkpoints and out of them. A checkpoint holds absolute values, and names what is gone.
impl Sessions {
    /// Adds what changed since the last call.
    pub(super) fn save(&mut self, saved: &mut SavedSessions) {
        saved.columns = self.columns.saved();
        for id in std::mem::take(&mut self.unsaved) {
            match self.sessions.get(&id) {
                Some(session) => {
                    self.put_saved(id, session, saved);
                }
                None => saved.gone.push(id),
            }
        }
    }

    /// Adds everything from a session on, while there is room; returns where to continue, if there is more.
    pub(super) fn walk(&self, from: Id, room: &mut Room, saved: &mut SavedSessions) -> Option<Id> {
        if saved.columns.is_empty() {
            saved.columns = self.columns.saved();
        }
        for (id, session) in self.sessions.range(from..) {
            if room.is_full() {
                return Some(*id);
            }
            room.take(self.put_saved(*id, session, saved));
        }
        None
    }

    fn put_saved(&self, id: Id, session: &Session, saved: &mut SavedSessions) -> usize {
        let window = Window { start: id.1, end: session.end };
        saved.sessions.push(SavedSession { key: id.0, window, panes: session.panes });
        let replaced = self.replaced.get(&id).cloned().unwrap_or_default();
        let windows = replaced.len() * size_of::<Window>();
        saved.fired.push(SavedFired { has_fired: session.has_fired, replaced });
        windows + size_of::<(SavedSession, SavedFired)>() + self.columns.save(session.row, &mut saved.columns)
    }

    /// Applies what was saved, in the same order.
    pub(super) fn restore(&mut self, saved: SavedSessions) {
        for id in saved.gone {
            if self.sessions.contains_key(&id) {
                let session = self.take(id);
                self.columns.clear(session.row);
                self.free.push(session.row);
                self.keys.restore_release(id.0);
            }
        }
        let mut fired = saved.fired.into_iter();
        for (number, session) in saved.sessions.iter().enumerate() {
            // A checkpoint without it was made by a version that replaced no rows by their windows.
            let SavedFired { has_fired, replaced } = fired.next().unwrap_or_default();
            let id = (session.key, session.window.start);
            let row = match self.sessions.contains_key(&id) {
                true => self.take(id).row,
                false => {
                    self.keys.restore_hold(session.key);
                    self.new_row()
                }
            };
            self.columns.restore(row, &saved.columns, number);
            if !replaced.is_empty() {
                self.replaced.insert(id, replaced);
            }
            self.put(id, Session { end: session.window.end, row, panes: session.panes, has_fired });
        }
        self.unsaved.clear();
    }

    /// The state is whole: early panes begin again for every open session.
    pub(super) fn restored(&mut self) {
        self.closed = self.closed.max(self.watermark - self.allowed_lateness);
        self.keys.restored();
        if self.early {
            let open = self.sessions.iter().filter(|(_, session)| session.end > self.watermark);
            self.unseen = open.map(|(id, _)| *id).collect();
        }
    }
}
