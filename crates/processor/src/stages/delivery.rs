//! The rows on their way to one writer: which requests may be sent, and what an answer means.

use std::sync::Arc;

use event::EventTime;
use flow::{
    append::{Append, Table},
    row::Row,
};

use super::{Delivered, Sent, Stopped, gone::Reopening};
use crate::{board::Fired, error::ProcessorError, outbox::Outbox, sink::Sink};

/// The outbox of a writer, and how far it is sent.
#[derive(Debug)]
pub struct Delivery {
    pub(super) name: Arc<str>,
    pub(super) outbox: Outbox,
    /// The rows of the flows that wait in the outbox, for the board. Only the first writer keeps them.
    pub(super) fired: Fired,
    is_sending: bool,
    /// The table whose stream is gone. Nothing is sent until it has another stream.
    pub(super) reopening: Option<Reopening>,
    /// Rows that are too large for a request, since they were last taken.
    pub(super) left_out: Vec<(Table, usize)>,
    /// Requests below this number have been handed to the sender.
    sent: u64,
    /// Requests below this number are in a durable checkpoint.
    durable: u64,
    /// Requests below this number are in the checkpoint in flight.
    covers: u64,
}

impl Delivery {
    /// Starts from a recovered outbox, whose requests are durable.
    pub(super) fn new(name: Arc<str>, outbox: Outbox) -> Self {
        let durable = outbox.next();
        Self {
            name,
            outbox,
            fired: Fired::default(),
            is_sending: false,
            reopening: None,
            left_out: Vec::new(),
            sent: 0,
            durable,
            covers: 0,
        }
    }

    /// The name of the writer.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The outbox.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The rows of the flows that are not in their tables yet.
    pub fn fired(&self) -> &Fired {
        &self.fired
    }

    /// Since when the oldest request has waited; `None` if none waits. The age of a request from an earlier run is unknown, so
    /// it counts from `started`, the start of this run.
    pub fn oldest(&self, started: Option<EventTime>) -> Option<EventTime> {
        let (first, _) = self.outbox.pending_from(0).next()?;
        match self.fired.oldest() {
            Some((number, at)) if number <= *first => Some(at),
            _ => started,
        }
    }

    pub(super) fn opened(&mut self, table: &Table, stream: String) {
        let waits = !self.outbox.has_stream(table);
        self.outbox.open(table, stream);
        let is_moved = self.reopening.take_if(|reopening| reopening.table == *table).is_some();
        if is_moved || waits {
            // The requests have moved. A later checkpoint must contain their new offsets before they are sent; the one
            // in flight has the old ones.
            self.hold_back();
        }
    }

    /// Everything in the outbox is in the checkpoint in flight.
    pub(super) fn covered(&mut self) {
        self.covers = self.outbox.next();
    }

    /// The checkpoint in flight is durable.
    pub(super) fn durable(&mut self) {
        self.durable = self.durable.max(self.covers);
    }

    /// Takes the durable requests that were not sent yet, to be sent in order; empty while other requests are being
    /// sent.
    pub(super) fn requests(&mut self) -> Vec<(u64, Append)> {
        if self.is_sending || self.reopening.is_some() || self.sent >= self.durable {
            return Vec::new();
        }
        let requests: Vec<_> = self
            .outbox
            .pending_from(self.sent)
            .filter(|(number, append)| *number < self.durable && append.rows > 0)
            .cloned()
            .collect();
        self.sent = self.durable;
        self.is_sending = !requests.is_empty();
        requests
    }

    /// Whether requests are being sent or could be.
    pub(super) fn is_sending(&self) -> bool {
        self.is_sending || self.sent < self.durable
    }

    /// Handles the result of sending requests.
    ///
    /// # Errors
    /// Returns an error if waiting does not help.
    pub(super) fn sent(
        &mut self,
        sent: Sent,
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<Delivered, ProcessorError> {
        self.is_sending = false;
        let mut delivered = Delivered::default();
        if let Some(done) = sent.done {
            for (_, append) in self.outbox.pending_from(0).take_while(|(number, _)| *number <= done) {
                delivered.rows += u64::from(append.rows);
                if matches!(append.table, Table::Flow(_)) {
                    delivered.flow_rows += u64::from(append.rows);
                }
            }
            self.outbox.done(done);
            delivered.shown = self.shown();
        }
        let Some(stopped) = sent.stopped else { return Ok(delivered) };
        let below = self.sent;
        self.hold_back();
        match stopped {
            Stopped::Failed(error) => return Err(error.into()),
            Stopped::Gap(table) => return Err(ProcessorError::Gap { table }),
            Stopped::StreamGone(table) => {
                self.reopening = Some(Reopening { table: table.clone(), from: 0, below });
                delivered.gone = Some(table);
            }
            Stopped::Refused(number, rows) => {
                delivered.refused = self.refused(number, &rows, now, sink)?.map(|table| (table, rows.len()));
                // Another processor that was frozen may hold the same requests with their old offsets, so the requests
                // that moved go to a stream that it does not know. Nothing after the refused request was sent.
                self.reopening = delivered.refused.as_ref().map(|(table, _)| Reopening {
                    table: table.clone(),
                    from: below,
                    below,
                });
            }
        }
        Ok(delivered)
    }

    /// The panes of the requests that are done.
    pub(super) fn shown(&mut self) -> Vec<(usize, Vec<Row>)> {
        let first = self.first_pending();
        first.checked_sub(1).map_or_else(Vec::new, |last| self.fired.delivered(last))
    }

    fn first_pending(&self) -> u64 {
        self.outbox.pending_from(0).next().map_or(self.outbox.next(), |(number, _)| *number)
    }

    /// Holds changed requests back until a checkpoint contains them.
    fn hold_back(&mut self) {
        let first = self.first_pending();
        self.sent = first;
        self.durable = first;
        self.covers = self.covers.min(first);
    }
}
