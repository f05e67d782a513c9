//! Replaces the stream of a table whose stream is gone, without appending any row twice.
//!
//! Requests reach a stream in order and whole, so the requests whose rows are in the table are the first ones. The
//! table is asked about each in order, up to the first whose rows are missing.

use flow::append::{Append, Table};

use super::{Delivered, Delivery};

/// A table whose stream is gone, and the range of its requests whose outcome is unknown.
#[derive(Debug)]
pub(super) struct Reopening {
    pub(super) table: Table,
    /// The number of the first request.
    pub(super) from: u64,
    /// One past the last request. Nothing from here on was ever sent.
    pub(super) below: u64,
}

/// The next step for a table whose stream is gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Reopen {
    /// Ask whether the rows of this request are in the table; answer with [`Stages::answered`](super::Stages::answered).
    Ask(Append),
    /// Open another stream; answer with [`Stages::opened`](super::Stages::opened).
    Open(Table),
}

impl Delivery {
    /// The next step for the table whose stream is gone; `None` if there is no such table.
    pub(super) fn reopening(&self) -> Option<Reopen> {
        let reopening = self.reopening.as_ref()?;
        Some(match self.in_doubt(reopening) {
            Some((_, append)) => Reopen::Ask(append.clone()),
            None => Reopen::Open(reopening.table.clone()),
        })
    }

    /// Takes the answer to [`Self::reopening`]. Rows that are in the table are never sent again: nothing goes to the
    /// new stream before a durable checkpoint contains both the stream and this answer.
    pub(super) fn answered(&mut self, contains: bool) -> Delivered {
        let mut delivered = Delivered::default();
        let Some(number) = self.reopening.as_ref().and_then(|gone| self.in_doubt(gone)).map(|(n, _)| *n)
        else {
            return delivered;
        };
        if let Some(reopening) = &mut self.reopening {
            reopening.from = if contains { number + 1 } else { reopening.below };
            if contains {
                delivered.rows = self.outbox.mark_written(number).into();
                delivered.flow_rows =
                    if matches!(reopening.table, Table::Flow(_)) { delivered.rows } else { 0 };
            }
        }
        delivered.shown = self.shown();
        delivered
    }

    /// The first request of a table whose outcome is unknown.
    fn in_doubt(&self, reopening: &Reopening) -> Option<&(u64, Append)> {
        let mut pending = self.outbox.pending_from(reopening.from);
        pending.find(|(number, append)| {
            *number < reopening.below && append.rows > 0 && append.table == reopening.table
        })
    }
}
