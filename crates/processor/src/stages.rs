//! The order that guarantees exactly-once results: applied, then in a checkpoint, then durable, and only then
//! acknowledged and sent.
//!
//! Each writer has a [`Delivery`], so that one which does not answer does not hold up the others.
//!
//! Pure: it returns what may be acknowledged, saved and sent, and receives the outcomes, so the simulation runs the
//! same order as production. `A` is the handle that acknowledges a message. The driver decides when a checkpoint is
//! due.

mod delivery;

mod gone;

mod rows;

use std::sync::Arc;

use event::{EventTime, Mark, mark::MarkError};
use flow::{
    append::{Append, Table},
    row::Row,
};

use crate::{
    core::Core,
    error::ProcessorError,
    frontier::Abandoned,
    inputs::Inputs,
    outbox::{Outbox, Outboxes},
    records::Records,
    saved::{Budget, Round, Saved, save},
    sink::{Sink, SinkError},
};
pub use delivery::Delivery;
pub use gone::Reopen;

/// The limit of request bytes that may wait for one writer. Beyond it messages stay in Pub/Sub, and the other writers wait, too.
pub const OUTBOX_BYTES: u64 = 64 << 20;

/// The core, with the messages that wait for a checkpoint and the rows that wait for each writer.
#[derive(Debug)]
pub struct Stages<A> {
    core: Core,
    /// What the messages come from.
    inputs: Inputs,
    /// One for each writer, in the order of the configuration.
    deliveries: Vec<Delivery>,
    /// Rows that wait for writers which are not configured any more.
    parked: Vec<(Arc<str>, Outbox)>,
    /// The position of the round: how far the copy of the state in parts has progressed.
    round: Round,
    /// Messages that were applied since the last checkpoint was taken.
    applied: Unacknowledged<A>,
    /// Messages that the checkpoint in flight contains.
    covered: Unacknowledged<A>,
    is_saving: bool,
}

/// Handles that acknowledge messages, each for one or several.
#[derive(Debug)]
struct Unacknowledged<A> {
    handles: Vec<A>,
    size: Size,
}

/// How much messages take of what Pub/Sub delivers before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The number of messages.
    pub messages: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The result of sending requests in order.
#[derive(Debug)]
pub struct Sent {
    /// The number of the last request whose rows are in their table.
    pub done: Option<u64>,
    /// Why sending ended before the last request.
    pub stopped: Option<Stopped>,
}

/// What stopped the sending.
#[derive(Debug)]
pub enum Stopped {
    /// The request's stream no longer exists.
    StreamGone(Table),
    /// The table refuses these rows of the request.
    Refused(u64, Vec<(u32, String)>),
    /// Rows before the request are missing in its stream.
    Gap(String),
    /// Waiting does not help.
    Failed(SinkError),
}

/// The effect of a [`Sent`].
#[derive(Debug, Default)]
pub struct Delivered {
    /// Rows that are now in their tables.
    pub rows: u64,
    /// Those of them that are panes.
    pub flow_rows: u64,
    /// The table whose stream is gone. [`Stages::reopening`] returns the next step.
    pub gone: Option<Table>,
    /// The table that refused rows, and how many.
    pub refused: Option<(Table, usize)>,
    /// The panes that are now in their tables, by the flow's index, without those of an earlier run.
    pub shown: Vec<(usize, Vec<Row>)>,
}

impl<A> Stages<A> {
    /// Starts from a recovered state, for writers of these names. Requests that an earlier run created may be sent at once,
    /// because they are durable.
    ///
    /// # Panics
    /// Without a writer.
    pub fn new(core: Core, mut outboxes: Outboxes, writers: &[Arc<str>]) -> Self {
        assert!(!writers.is_empty(), "rows have a destination");
        let delivery = |name: &Arc<str>| Delivery::new(name.clone(), outboxes.take(name).unwrap_or_default());
        Self {
            core,
            inputs: Inputs::default(),
            deliveries: writers.iter().map(delivery).collect(),
            parked: outboxes.into_pending(),
            round: Round::default(),
            applied: Unacknowledged::default(),
            covered: Unacknowledged::default(),
            is_saving: false,
        }
    }

    /// With the topics that are read.
    #[must_use]
    pub fn with_inputs(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// Whether messages may be applied. A pane that fires needs a stream to be part of the state.
    pub fn has_room(&self) -> bool {
        self.has_streams() && self.deliveries.iter().all(|delivery| delivery.outbox.bytes() < OUTBOX_BYTES)
    }

    /// Applies records that were read; call [`Self::applied`] after those of all messages of a response.
    pub fn records(&mut self, records: &Records, now: EventTime) {
        self.core.records(records, now);
    }

    /// Applies a message of the marks subscription; call [`Self::applied`] next. Returns the mark, or `None` if the
    /// message is not a mark.
    ///
    /// # Errors
    /// Returns an error if a newer connector wrote the mark, or one that publishes to a topic which is not read. If the
    /// mark were acknowledged, offsets would become holes and then count as lost.
    pub fn mark(
        &mut self,
        message: &[u8],
        published: EventTime,
        now: EventTime,
    ) -> Result<Option<Mark>, ProcessorError> {
        match Mark::from_json(message) {
            Ok(mark) => {
                if let Some(unread) = self.inputs.unread(&mark) {
                    return Err(unread.into());
                }
                self.core.mark(&mark, published, now);
                Ok(Some(mark))
            }
            Err(MarkError::Newer { version }) => Err(ProcessorError::NewerMark { version }),
            Err(MarkError::Malformed { .. }) => {
                self.core.unreadable_mark();
                Ok(None)
            }
        }
    }

    /// Records that messages of this size were applied. `ack` acknowledges them once a checkpoint that contains them is
    /// durable.
    pub fn applied(&mut self, ack: A, size: Size) {
        self.applied.handles.push(ack);
        self.applied.size.messages += size.messages;
        self.applied.size.bytes += size.bytes;
    }

    /// The size of the messages that wait for the next checkpoint.
    pub fn waiting(&self) -> Size {
        self.applied.size
    }

    /// Advances the time. Returns the holes that were abandoned.
    pub fn tick(&mut self, now: EventTime) -> Vec<Abandoned> {
        if self.has_streams() { self.core.tick(now) } else { Vec::new() }
    }

    /// The tables of a writer that have no stream yet.
    pub fn missing_streams(&self, writer: usize) -> Vec<Table> {
        self.tables().filter(|table| !self.deliveries[writer].outbox.has_stream(table)).collect()
    }

    /// Whether a writer has a stream for every table. Rows for one that could not be reached yet wait for their streams.
    pub fn has_streams(&self) -> bool {
        let has_all = |delivery: &Delivery| self.tables().all(|table| delivery.outbox.has_stream(&table));
        self.deliveries.iter().any(has_all)
    }

    /// Gives a table of a writer this stream.
    pub fn opened(&mut self, writer: usize, table: &Table, stream: String) {
        self.deliveries[writer].opened(table, stream);
    }

    /// Takes a checkpoint: fires the panes that changed, fixes the stream and offset of every row, and returns the
    /// state to be saved; `None` while another checkpoint is in flight.
    ///
    /// # Errors
    /// Returns an error if rows do not fit their table.
    pub fn checkpoint(
        &mut self,
        budget: Budget,
        now: EventTime,
        sinks: &[Arc<impl Sink>],
    ) -> Result<Option<Saved>, ProcessorError> {
        if self.is_saving {
            return Ok(None);
        }
        if self.has_streams() {
            self.core.fire_changed(now);
            self.fill_outboxes(now, sinks)?;
        }
        self.deliveries.iter_mut().for_each(Delivery::covered);
        self.covered = std::mem::take(&mut self.applied);
        self.is_saving = true;
        let deliveries =
            self.deliveries.iter_mut().map(|delivery| (delivery.name.clone(), &mut delivery.outbox));
        let parked = self.parked.iter_mut().map(|(name, outbox)| (name.clone(), outbox));
        let mut outboxes: Vec<_> = deliveries.chain(parked).collect();
        Ok(Some(save(&mut self.core, &mut outboxes, &mut self.round, budget)))
    }

    /// Records that the checkpoint is durable, and that no other processor had taken over by then. Returns the messages
    /// to acknowledge.
    pub fn durable(&mut self) -> Vec<A> {
        self.is_saving = false;
        self.deliveries.iter_mut().for_each(Delivery::durable);
        std::mem::take(&mut self.covered).handles
    }

    /// Whether a checkpoint is in flight.
    pub fn is_saving(&self) -> bool {
        self.is_saving
    }

    /// Takes the durable requests of a writer that were not sent yet, to be sent in order; empty while other requests are being
    /// sent, and while a table of the writer has no stream.
    pub fn requests(&mut self, writer: usize) -> Vec<(u64, Append)> {
        match self.missing_streams(writer).is_empty() {
            true => self.deliveries[writer].requests(),
            false => Vec::new(),
        }
    }

    /// Whether requests are being sent or could be, to a writer that was reached.
    pub fn is_sending(&self) -> bool {
        let can_send = |writer: &usize| self.missing_streams(*writer).is_empty();
        (0..self.deliveries.len()).filter(can_send).any(|writer| self.deliveries[writer].is_sending())
    }

    /// Handles the result of sending requests to a writer.
    ///
    /// # Errors
    /// Returns an error if waiting does not help.
    pub fn sent(
        &mut self,
        writer: usize,
        sent: Sent,
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<Delivered, ProcessorError> {
        self.deliveries[writer].sent(sent, now, sink)
    }

    /// The next step for a table of a writer whose stream is gone; `None` if there is no such table.
    pub fn reopening(&self, writer: usize) -> Option<Reopen> {
        self.deliveries[writer].reopening()
    }

    /// Takes the answer to [`Self::reopening`]. Rows that are in the table are never sent again: nothing goes to the
    /// new stream before a durable checkpoint contains both the stream and this answer.
    pub fn answered(&mut self, writer: usize, contains: bool) -> Delivered {
        self.deliveries[writer].answered(contains)
    }

    /// Every table that receives rows.
    fn tables(&self) -> impl Iterator<Item = Table> {
        let flows = self.core.engine().flows().iter().map(|flow| flow.name().clone());
        let tables = flows.flat_map(|flow| [Table::Flow(flow.clone()), Table::Progress(flow)]);
        tables.chain([Table::DeadLetters])
    }

    /// Adds a row of progress for every flow, at the end of a run.
    pub fn progress(&mut self, now: EventTime) {
        if self.has_streams() {
            self.core.progress(now);
        }
    }

    /// Drops the handles of unacknowledged messages, so that Pub/Sub redelivers them.
    pub fn give_back(&mut self) {
        self.applied = Unacknowledged::default();
        self.covered = Unacknowledged::default();
    }

    /// The number of messages that wait for a durable checkpoint.
    pub fn unacknowledged(&self) -> usize {
        self.applied.size.messages + self.covered.size.messages
    }

    /// The core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The rows on their way to each writer, in the order of the configuration.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// The rows that wait for writers which are not configured any more, with the names of these.
    pub fn parked(&self) -> &[(Arc<str>, Outbox)] {
        &self.parked
    }

    /// All outboxes.
    pub fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        self.deliveries.iter().map(Delivery::outbox).chain(self.parked.iter().map(|(_, outbox)| outbox))
    }

    /// The number of requests that wait.
    pub fn pending(&self) -> usize {
        self.outboxes().map(Outbox::len).sum()
    }

    /// Bytes of everything that waits for writers.
    pub fn waiting_bytes(&self) -> u64 {
        let fired = self.deliveries.iter().map(|delivery| delivery.fired().bytes());
        self.outboxes().map(Outbox::bytes).chain(fired).sum()
    }
}

impl Size {
    /// Whether messages of this size leave less than half of a limit for others.
    pub fn is_most_of(self, limit: Self) -> bool {
        self.messages > limit.messages / 2 || self.bytes > limit.bytes / 2
    }
}

impl<A> Default for Unacknowledged<A> {
    fn default() -> Self {
        Self { handles: Vec::new(), size: Size::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_bytes_are_limited() {
        let limit = Size { messages: 10, bytes: 1_000 };
        for (messages, bytes, is_most) in [(5, 500, false), (6, 0, true), (0, 501, true)] {
            assert_eq!(Size { messages, bytes }.is_most_of(limit), is_most, "{messages} {bytes}");
        }
    }
}
