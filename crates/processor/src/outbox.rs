//! Rows on their way: every request gets its stream and offset before it is first sent, and stays in the
//! state until the table has it.

use std::collections::{BTreeMap, VecDeque};

use flow::append::{Append, Body, Table};
use serde::{Deserialize, Serialize};

use crate::saved::Room;

/// The requests that are to be sent, in order.
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    name: String,
    rows: u64,
    /// Rows that the table's earlier streams were given and kept.
    before: u64,
}

/// What of the outbox goes into a checkpoint: the streams, the requests that changed, and a part of all. Requests have numbers, so
/// that one may be in any number of checkpoints; all below a number end together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedOutbox {
    streams: Vec<(Table, Stream)>,
    added: Vec<(u64, Append)>,
    /// Requests below this number are in their tables.
    done_below: u64,
}

impl SavedOutbox {
    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        self.added.iter().map(|(_, append)| weight(append)).sum()
    }
}

/// Bytes of a request in a part.
fn weight(append: &Append) -> usize {
    size_of::<(u64, Append)>() + append.body.len()
}

impl Outbox {
    /// Whether the table has a stream.
    pub fn has_stream(&self, table: &Table) -> bool {
        self.streams.contains_key(table)
    }

    /// Gives a table its stream; pending requests of an older one move there, from offset 0.
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

    /// Fixes where these rows go.
    pub fn push(&mut self, table: &Table, bodies: Vec<Body>) {
        let Some(stream) = self.streams.get_mut(table) else { return };
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

    /// Puts another body into a pending request; those behind it in its stream move up.
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

    /// The rows of a pending request stand in their table: it stays until those before it are done, but nothing of it
    /// is sent any more. Returns how many rows they are.
    pub fn stands(&mut self, number: u64) -> u32 {
        let Ok(at) = self.find(number) else { return 0 };
        let append = &mut self.pending[at].1;
        let rows = std::mem::take(&mut append.rows);
        self.bytes -= std::mem::take(&mut append.body).len() as u64;
        self.unsaved.push(number);
        self.drop_empty();
        rows
    }

    /// Every table's stream, and how many rows it has been given.
    pub fn streams(&self) -> impl Iterator<Item = (&Table, &str, u64)> {
        self.streams.iter().map(|(table, stream)| (table, stream.name.as_str(), stream.rows))
    }

    /// How many rows each table has been given by all its streams, those that wait among them.
    pub fn given(&self) -> impl Iterator<Item = (&Table, u64)> {
        self.streams.iter().map(|(table, stream)| (table, stream.before + stream.rows))
    }

    /// How many rows the table's stream has been given.
    pub fn stream_rows(&self, table: &Table) -> u64 {
        self.streams.get(table).map_or(0, |stream| stream.rows)
    }

    /// The requests with numbers from `from` on.
    pub fn pending_from(&self, from: u64) -> impl Iterator<Item = &(u64, Append)> {
        self.pending.iter().filter(move |(number, _)| *number >= from)
    }

    /// The request's rows stand in their table. Requests end in order.
    pub fn done(&mut self, number: u64) {
        self.drop_front(|(first, _)| *first <= number);
        self.drop_empty();
    }

    /// A request without rows needs no sending.
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

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Number of the next request.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of the requests that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What changed since the last call.
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

    /// Adds the requests from a number on, while there is room. Returns where to go on, if there are more.
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

    /// Applies one checkpoint, in the order in which they were made.
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
        assert_eq!((outbox.stands(0), outbox.stands(2)), (3, 2));
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
