//! A table whose stream is gone gets another one, and what stands already does not move there.
//!
//! Requests reach a stream in order and whole, so that those whose rows stand are the first ones: they are asked about
//! in order, up to the first that does not stand. Not here: how the table is asked.

use flow::append::{Append, Table};

use super::{Delivered, Stages};

/// A table whose stream is gone, and its requests of which nobody knows whether their rows stand.
#[derive(Debug)]
pub(super) struct Reopening {
    pub(super) table: Table,
    /// The first number.
    pub(super) from: u64,
    /// What follows the last one: nothing from here on was ever sent.
    pub(super) below: u64,
}

/// What a table whose stream is gone needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Reopen {
    /// Whether the rows of this request stand: [`Stages::answered`] with it.
    Ask(Append),
    /// Another stream: [`Stages::opened`] with it.
    Open(Table),
}

impl<A> Stages<A> {
    /// What the table whose stream is gone needs next, if there is one.
    pub fn reopening(&self) -> Option<Reopen> {
        let reopening = self.reopening.as_ref()?;
        Some(match self.in_doubt(reopening) {
            Some((_, append)) => Reopen::Ask(append.clone()),
            None => Reopen::Open(reopening.table.clone()),
        })
    }

    /// Whether the rows stand that [`Self::reopening`] asked about. Those that do are never sent again: the checkpoint
    /// that holds the new stream holds that too, and nothing goes to the new stream before it is durable.
    pub fn answered(&mut self, stands: bool) -> Delivered {
        let mut delivered = Delivered::default();
        let Some(number) = self.reopening.as_ref().and_then(|gone| self.in_doubt(gone)).map(|(n, _)| *n)
        else {
            return delivered;
        };
        if let Some(reopening) = &mut self.reopening {
            reopening.from = if stands { number + 1 } else { reopening.below };
            if stands {
                delivered.rows = self.outbox.stands(number).into();
                delivered.flow_rows =
                    if matches!(reopening.table, Table::Flow(_)) { delivered.rows } else { 0 };
            }
        }
        delivered.shown = self.shown();
        delivered
    }

    /// The first request of a table of which nobody knows whether its rows stand.
    fn in_doubt(&self, reopening: &Reopening) -> Option<&(u64, Append)> {
        let mut pending = self.outbox.pending_from(reopening.from);
        pending.find(|(number, append)| {
            *number < reopening.below && append.rows > 0 && append.table == reopening.table
        })
    }
}
