//! Streams of committed type: the number of rows of each, and how an append at an offset is answered. Default streams, of
//! which each table has one, have neither.

use std::collections::BTreeMap;

/// All streams that were ever created.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: BTreeMap<String, Stream>,
    made: u64,
}

#[derive(Debug)]
struct Stream {
    /// `projects/P/datasets/D/tables/T`.
    table: String,
    rows: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Accepts no more rows, and still reports its number of rows.
    Finalized,
    /// No longer exists.
    Forgotten,
}

/// How an append at an offset is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The offset is the end of the stream.
    Fits,
    NotFound,
    Finalized,
    AlreadyExists,
    OutOfRange,
}

impl Streams {
    /// Creates a stream for a table and returns its name.
    pub(super) fn make(&mut self, table: &str) -> String {
        self.made += 1;
        let name = format!("{table}/streams/s{}", self.made);
        let stream = Stream { table: table.to_owned(), rows: 0, state: State::Open };
        self.streams.insert(name.clone(), stream);
        name
    }

    /// The table of a stream; `None` if the stream does not exist. A default stream exists if its table does, which is not known
    /// here.
    pub(super) fn table<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        default_of(name).or_else(|| self.known(name).map(|stream| stream.table.as_str()))
    }

    /// Checks an append; without an offset the rows are added at the end.
    pub(super) fn judge(&self, name: &str, offset: Option<u64>) -> Verdict {
        match self.known(name) {
            None => Verdict::NotFound,
            Some(stream) if stream.state == State::Finalized => Verdict::Finalized,
            Some(stream) => match offset.unwrap_or(stream.rows).cmp(&stream.rows) {
                std::cmp::Ordering::Less => Verdict::AlreadyExists,
                std::cmp::Ordering::Equal => Verdict::Fits,
                std::cmp::Ordering::Greater => Verdict::OutOfRange,
            },
        }
    }

    /// Counts added rows.
    pub(super) fn added(&mut self, name: &str, rows: u64) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.rows += rows;
        }
    }

    /// Finalizes a stream and returns its number of rows; `None` if it does not exist.
    pub(super) fn finalize(&mut self, name: &str) -> Option<u64> {
        let stream = self.streams.get_mut(name).filter(|stream| stream.state != State::Forgotten)?;
        stream.state = State::Finalized;
        Some(stream.rows)
    }

    /// Deletes a stream, as the service does after some idle days.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.state = State::Forgotten;
        }
    }

    /// The names of all streams of the tables with this name, in any dataset.
    pub(super) fn of(&self, table: &str) -> Vec<String> {
        let of_table = |stream: &Stream| stream.table.rsplit('/').next() == Some(table);
        self.streams.iter().filter(|(_, stream)| of_table(stream)).map(|(name, _)| name.clone()).collect()
    }

    fn known(&self, name: &str) -> Option<&Stream> {
        self.streams.get(name).filter(|stream| stream.state != State::Forgotten)
    }
}

/// The table of a default stream; `None` for another stream.
pub(super) fn default_of(name: &str) -> Option<&str> {
    name.strip_suffix("/streams/_default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_checked() {
        let mut streams = Streams::default();
        let name = streams.make("projects/p/datasets/d/tables/t");
        streams.added(&name, 3);
        let judged: Vec<_> = [Some(2), Some(3), Some(4), None].map(|at| streams.judge(&name, at)).into();
        assert_eq!(judged, [Verdict::AlreadyExists, Verdict::Fits, Verdict::OutOfRange, Verdict::Fits]);
        assert_eq!(streams.of("t"), std::slice::from_ref(&name));
        assert_eq!((streams.finalize(&name), streams.judge(&name, Some(3))), (Some(3), Verdict::Finalized));
        streams.forget(&name);
        assert_eq!((streams.finalize(&name), streams.judge(&name, Some(3))), (None, Verdict::NotFound));
    }
}
