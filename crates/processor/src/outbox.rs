//! The outbox: rows that have a stream and an offset and are not yet in their tables. Each writer has one.
//!
//! A request gets its stream and offset before it is first sent and stays in the state until its table has the rows, so
//! a repeated request is recognised and no row is added twice.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use flow::append::{Append, Body, Table};
use serde::{Deserialize, Serialize};

use crate::saved::Room;

/// The requests that are to be sent, in order, and the streams of all tables.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    streams: BTreeMap<Table, Stream>,
    pending: VecDeque<(u64, Append)>,
    next: u64,
    /// Numbers of requests that were added or changed since the last checkpoint.
    unsaved: Vec<u64>,
    /// Bytes of the bodies in `pending`.
    bytes: u64,
}

/// The outboxes of a state, by the names of their writers.
///
/// ```
/// use processor::outbox::{Outbox, Outboxes};
///
/// let mut outboxes = Outboxes::default();
/// outboxes.insert(Some("bigquery".into()), Outbox::default());
/// assert!(outboxes.take("pubsub").is_none());
/// assert!(outboxes.take("bigquery").is_some());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Outboxes(Vec<(Option<Arc<str>>, Outbox)>);

impl Outboxes {
    /// Adds the outbox of a writer. A state of a version that had a single writer has no name for it.
    pub fn insert(&mut self, writer: Option<Arc<str>>, outbox: Outbox) {
        self.0.push((writer, outbox));
    }

    /// The outbox of a writer, or else the one without a name. `None` for a writer that is new.
    pub fn take(&mut self, writer: &str) -> Option<Outbox> {
        let place = |wanted: Option<&str>| self.0.iter().position(|(name, _)| name.as_deref() == wanted);
        let place = place(Some(writer)).or_else(|| place(None))?;
        Some(self.0.remove(place).1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &Outbox)> {
        self.0.iter().map(|(name, outbox)| (name.as_deref(), outbox))
    }

    /// Those of which requests are pending, with their names.
    pub(crate) fn into_pending(self) -> Vec<(Arc<str>, Outbox)> {
        let pending = self.0.into_iter().filter(|(_, outbox)| !outbox.is_empty());
        pending.map(|(name, outbox)| (name.unwrap_or_default(), outbox)).collect()
    }

    /// Applies the outboxes of one checkpoint. A writer that it does not name is not in the state any more.
    pub(crate) fn restore(&mut self, saved: Vec<(Option<Arc<str>>, SavedOutbox)>) {
        let mut before = std::mem::take(&mut self.0);
        for (number, (name, saved)) in saved.into_iter().enumerate() {
            let place = |name: &Option<Arc<str>>| before.iter().position(|(other, _)| other == name);
            // The checkpoints before may be of a version that had a single writer.
            let place = place(&name).or_else(|| place(&None).filter(|_| number == 0));
            let mut outbox = place.map_or_else(Outbox::default, |place| before.remove(place).1);
            outbox.restore(saved);
            self.0.push((name, outbox));
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    /// Empty until the writer has opened it. Requests are not sent before.
    name: String,
    rows: u64,
    /// Rows that were appended to the table's earlier streams and kept.
    before: u64,
}

/// The part of a checkpoint that contains the outbox: the streams, the requests that changed, and a part of all
/// requests. Requests have numbers, so several checkpoints may contain the same one. Requests below `done_below` are
/// all done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedOutbox {
    streams: Vec<(Table, Stream)>,
    added: Vec<(u64, Append)>,
    /// Requests below this number are in their tables.
    done_below: u64,
}

impl SavedOutbox {
    /// Approximate bytes in memory.
    pub fn weight(&self) -> usize {
        self.added.iter().map(|(_, append)| weight(append)).sum()
    }
}

/// Approximate bytes of a request in a part.
fn weight(append: &Append) -> usize {
    size_of::<(u64, Append)>() + append.body.len()
}

impl Outbox {
    /// Whether the table has a stream.
    pub fn has_stream(&self, table: &Table) -> bool {
        self.streams.get(table).is_some_and(|stream| !stream.name.is_empty())
    }

    /// Gives a table a new stream. Its pending requests move to the new stream, from offset 0.
    pub fn open(&mut self, table: &Table, name: String) {
        let mut rows = 0;
        for (number, append) in self.pending.iter_mut().filter(|(_, append)| append.table == *table) {
            append.stream.clone_from(&name);
            append.offset = rows;
            rows += u64::from(append.rows);
            self.unsaved.push(*number);
        }
        let before = self.streams.get(table).map_or(0, |old| old.before + old.rows.saturating_sub(rows));
        self.streams.insert(table.clone(), Stream { name, rows, before });
    }

    /// Adds requests with these bodies and fixes their stream and offsets. Without a stream they wait for one, which
    /// [`open`](Self::open) gives them.
    pub fn push(&mut self, table: &Table, bodies: Vec<Body>) {
        let stream = self.streams.entry(table.clone()).or_default();
        for body in bodies.into_iter().filter(|body| body.rows > 0) {
            let append = Append {
                table: table.clone(),
                stream: stream.name.clone(),
                offset: stream.rows,
                rows: body.rows,
                body: body.bytes.into(),
            };
            stream.rows += u64::from(body.rows);
            self.unsaved.push(self.next);
            self.bytes += append.body.len() as u64;
            self.pending.push_back((self.next, append));
            self.next += 1;
        }
    }

    /// Replaces the body of a pending request. If it has fewer rows, the later requests of
    /// the same table move to lower offsets, so that the stream has no gap.
    pub fn replace(&mut self, number: u64, body: Body) {
        let Ok(at) = self.find(number) else { return };
        let (table, removed) = {
            let append = &mut self.pending[at].1;
            self.bytes = self.bytes - append.body.len() as u64 + body.bytes.len() as u64;
            let removed = u64::from(append.rows.saturating_sub(body.rows));
            append.rows = body.rows;
            append.body = body.bytes.into();
            (append.table.clone(), removed)
        };
        self.unsaved.push(number);
        for entry in self.pending.iter_mut().skip(at + 1).filter(|(_, append)| append.table == table) {
            entry.1.offset -= removed;
            self.unsaved.push(entry.0);
        }
        if let Some(stream) = self.streams.get_mut(&table) {
            stream.rows -= removed;
        }
        self.drop_empty();
    }

    /// Records that the rows of a pending request are in their table. The request stays until those before it are done,
    /// but is not sent again. Returns the number of its rows; 0 if no such request is pending.
    pub fn mark_written(&mut self, number: u64) -> u32 {
        let Ok(at) = self.find(number) else { return 0 };
        let append = &mut self.pending[at].1;
        let rows = std::mem::take(&mut append.rows);
        self.bytes -= std::mem::take(&mut append.body).len() as u64;
        self.unsaved.push(number);
        self.drop_empty();
        rows
    }

    /// The stream of each table, and the number of rows that were given to it.
    pub fn streams(&self) -> impl Iterator<Item = (&Table, &str, u64)> {
        self.streams.iter().map(|(table, stream)| (table, stream.name.as_str(), stream.rows))
    }

    /// The number of rows that were given to each table in all its streams, with pending ones.
    pub fn given(&self) -> impl Iterator<Item = (&Table, u64)> {
        self.streams.iter().map(|(table, stream)| (table, stream.before + stream.rows))
    }

    /// The number of rows that were given to the table's stream.
    pub fn stream_rows(&self, table: &Table) -> u64 {
        self.streams.get(table).map_or(0, |stream| stream.rows)
    }

    /// The requests with numbers from `from` on.
    pub fn pending_from(&self, from: u64) -> impl Iterator<Item = &(u64, Append)> {
        self.pending.iter().filter(move |(number, _)| *number >= from)
    }

    /// Records that the rows of a request are in their table. Requests are done in order.
    pub fn done(&mut self, number: u64) {
        self.drop_front(|(first, _)| *first <= number);
        self.drop_empty();
    }

    /// Removes requests without rows from the front: they need not be sent.
    fn drop_empty(&mut self) {
        self.drop_front(|(_, append)| append.rows == 0);
    }

    fn drop_front(&mut self, is_done: impl Fn(&(u64, Append)) -> bool) {
        while let Some((_, append)) = self.pending.pop_front_if(|first| is_done(first)) {
            self.bytes -= append.body.len() as u64;
        }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.pending.binary_search_by_key(&number, |(other, _)| *other)
    }

    /// The number of pending requests.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no request is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The number of the next request.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of the pending requests.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The changes since the last call.
    pub fn save(&mut self) -> SavedOutbox {
        let done_below = self.pending.front().map_or(self.next, |(number, _)| *number);
        let mut unsaved = std::mem::take(&mut self.unsaved);
        unsaved.sort_unstable();
        unsaved.dedup();
        let changed = unsaved.into_iter().filter_map(|number| self.find(number).ok());
        let added = changed.map(|at| self.pending[at].clone()).collect();
        let streams = self.streams.iter().map(|(table, stream)| (table.clone(), stream.clone())).collect();
        SavedOutbox { streams, added, done_below }
    }

    /// Adds requests from a number on while there is room. Returns where to continue, or `None` at the end.
    pub fn walk(&self, from: u64, room: &mut Room, saved: &mut SavedOutbox) -> Option<u64> {
        let (Ok(at) | Err(at)) = self.find(from);
        for (number, append) in self.pending.range(at..) {
            if room.is_full() {
                return Some(*number);
            }
            room.take(weight(append));
            saved.added.push((*number, append.clone()));
        }
        None
    }

    /// Applies one checkpoint. Checkpoints must be applied in the order in which they were written.
    pub fn restore(&mut self, saved: SavedOutbox) {
        self.streams = saved.streams.into_iter().collect();
        for (number, append) in saved.added {
            self.next = self.next.max(number + 1);
            self.bytes += append.body.len() as u64;
            match self.find(number) {
                Ok(at) => {
                    let old = std::mem::replace(&mut self.pending[at].1, append);
                    self.bytes -= old.body.len() as u64;
                }
                Err(at) => self.pending.insert(at, (number, append)),
            }
        }
        self.next = self.next.max(saved.done_below);
        self.drop_front(|(number, _)| *number < saved.done_below);
        self.drop_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(rows: &[u32]) -> Vec<Body> {
        rows.iter().map(|&rows| Body { rows, bytes: vec![rows as u8] }).collect()
    }

    #[test]
    fn requests_keep_their_place_over_a_restart() {
        let table = Table::DeadLetters;
        let mut outbox = Outbox::default();
        outbox.open(&table, "s1".into());
        outbox.push(&table, bodies(&[3, 2]));
        let first = outbox.save();
        outbox.done(0);
        outbox.push(&table, bodies(&[4]));
        let second = outbox.save();
        let mut again = Outbox::default();
        again.restore(first);
        again.restore(second);
        let places: Vec<_> = again.pending_from(0).map(|(n, a)| (*n, a.offset, a.rows)).collect();
        assert_eq!(places, vec![(1, 3, 2), (2, 5, 4)]);
        again.open(&table, "s2".into());
        again.push(&table, bodies(&[1]));
        let places: Vec<_> = again.pending_from(0).map(|(_, a)| (a.stream.as_str(), a.offset)).collect();
        assert_eq!(places, vec![("s2", 0), ("s2", 2), ("s2", 6)]);
    }
    #[test]
    fn what_stands_is_neither_moved_nor_sent_again() {
        let (table, other) = (Table::DeadLetters, Table::Flow("f".into()));
        let mut outbox = Outbox::default();
        outbox.open(&table, "s1".into());
        outbox.open(&other, "f1".into());
        outbox.push(&table, bodies(&[3]));
        outbox.push(&other, bodies(&[7]));
        outbox.push(&table, bodies(&[2, 4]));
        let before = outbox.save();
        assert_eq!((outbox.mark_written(0), outbox.mark_written(2)), (3, 2));
        outbox.open(&table, "s2".into());
        let after = outbox.save();
        let mut again = Outbox::default();
        again.restore(before);
        again.restore(after);
        for mut outbox in [outbox, again] {
            let places: Vec<_> =
                outbox.pending_from(0).map(|(n, a)| (*n, a.stream.as_str(), a.offset, a.rows)).collect();
            assert_eq!(places, vec![(1, "f1", 0, 7), (2, "s2", 0, 0), (3, "s2", 0, 4)]);
            outbox.done(1);
            assert_eq!(outbox.pending_from(0).map(|(n, _)| *n).collect::<Vec<_>>(), vec![3]);
            outbox.replace(3, Body { rows: 0, bytes: Vec::new() });
            assert!(outbox.is_empty(), "a request whose only row is refused is done");
            outbox.push(&table, bodies(&[1]));
            assert_eq!(outbox.pending_from(0).map(|(n, a)| (*n, a.offset)).collect::<Vec<_>>(), vec![(4, 0)]);
        }
    }
}
