//! The order that guarantees exactly-once results: applied, then in a checkpoint, then durable, and only then
//! acknowledged and sent.
//!
//! Pure: it returns what may be acknowledged, saved and sent, and receives the outcomes, so the simulation runs the
//! same order as production. `A` is the handle that acknowledges a message. The driver decides when a checkpoint is
//! due.

mod gone;

mod rows;

use event::{EventTime, Mark, mark::MarkError};
use flow::{
    append::{Append, Table},
    row::Row,
};

use crate::{
    board::Fired,
    core::Core,
    error::ProcessorError,
    frontier::Abandoned,
    inputs::Inputs,
    outbox::Outbox,
    records::Records,
    saved::{Budget, Round, Saved, save},
    sink::{Sink, SinkError},
};
pub use gone::Reopen;
use gone::Reopening;

/// The limit of request bytes that may wait. Beyond it messages stay in Pub/Sub.
const OUTBOX_BYTES: u64 = 64 << 20;

/// Core and outbox, with the messages that wait for a checkpoint and the rows that wait for a table.
#[derive(Debug)]
pub struct Stages<A> {
    core: Core,
    /// What the messages come from.
    inputs: Inputs,
    outbox: Outbox,
    /// The position of the round: how far the copy of the state in parts has progressed.
    round: Round,
    /// The rows of the flows that wait in the outbox, for the board.
    fired: Fired,
    /// Messages that were applied since the last checkpoint was taken.
    applied: Unacknowledged<A>,
    /// Messages that the checkpoint in flight contains.
    covered: Unacknowledged<A>,
    is_saving: bool,
    is_sending: bool,
    /// The table whose stream is gone. Nothing is sent until it has another stream.
    reopening: Option<Reopening>,
    /// Rows that are too large for a request, since they were last taken.
    left_out: Vec<(Table, usize)>,
    /// Requests below this number have been handed to the sender.
    sent: u64,
    /// Requests below this number are in a durable checkpoint.
    durable: u64,
    /// Requests below this number are in the checkpoint in flight.
    covers: u64,
}

/// Handles that acknowledge messages, each for one or several.
#[derive(Debug)]
struct Unacknowledged<A> {
    handles: Vec<A>,
    messages: usize,
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
    /// Starts from a recovered state. Requests that an earlier run created may be sent at once, because they are
    /// durable.
    pub fn new(core: Core, outbox: Outbox) -> Self {
        let durable = outbox.next();
        Self {
            core,
            inputs: Inputs::default(),
            outbox,
            round: Round::default(),
            fired: Fired::default(),
            applied: Unacknowledged::default(),
            covered: Unacknowledged::default(),
            is_saving: false,
            is_sending: false,
            reopening: None,
            left_out: Vec::new(),
            sent: 0,
            durable,
            covers: 0,
        }
    }

    /// With the topics that are read.
    #[must_use]
    pub fn with_inputs(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// Whether messages may be applied. A pane that fires needs a stream to be part of the state.
    pub fn has_room(&self) -> bool {
        self.has_streams() && self.outbox.bytes() < OUTBOX_BYTES
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

    /// Records that `messages` messages were applied. `ack` acknowledges them once a checkpoint that contains them is
    /// durable.
    pub fn applied(&mut self, ack: A, messages: usize) {
        self.applied.handles.push(ack);
        self.applied.messages += messages;
    }

    /// Advances the time. Returns the holes that were abandoned.
    pub fn tick(&mut self, now: EventTime) -> Vec<Abandoned> {
        if self.has_streams() { self.core.tick(now) } else { Vec::new() }
    }

    /// The tables that have no stream yet.
    pub fn missing_streams(&self) -> Vec<Table> {
        self.tables().filter(|table| !self.outbox.has_stream(table)).collect()
    }

    /// Whether every table has a stream.
    pub fn has_streams(&self) -> bool {
        self.tables().all(|table| self.outbox.has_stream(&table))
    }

    /// Gives a table this stream.
    pub fn opened(&mut self, table: &Table, stream: String) {
        self.outbox.open(table, stream);
        if self.reopening.take_if(|reopening| reopening.table == *table).is_some() {
            // The requests have moved. A later checkpoint must contain their new offsets before they are sent; the one
            // in flight has the old ones.
            self.hold_back();
        }
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
        sink: &impl Sink,
    ) -> Result<Option<Saved>, ProcessorError> {
        if self.is_saving {
            return Ok(None);
        }
        if self.has_streams() {
            self.core.fire_changed(now);
            self.fill_outbox(now, sink)?;
        }
        self.covers = self.outbox.next();
        self.covered = std::mem::take(&mut self.applied);
        self.is_saving = true;
        Ok(Some(save(&mut self.core, &mut self.outbox, &mut self.round, budget)))
    }

    /// Records that the checkpoint is durable, and that no other processor had taken over by then. Returns the messages
    /// to acknowledge.
    pub fn durable(&mut self) -> Vec<A> {
        self.is_saving = false;
        self.durable = self.durable.max(self.covers);
        std::mem::take(&mut self.covered).handles
    }

    /// Whether a checkpoint is in flight.
    pub fn is_saving(&self) -> bool {
        self.is_saving
    }

    /// Takes the durable requests that were not sent yet, to be sent in order; empty while other requests are being
    /// sent.
    pub fn requests(&mut self) -> Vec<(u64, Append)> {
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
    pub fn is_sending(&self) -> bool {
        self.is_sending || self.sent < self.durable
    }

    /// Handles the result of sending requests.
    ///
    /// # Errors
    /// Returns an error if waiting does not help.
    pub fn sent(
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
    fn shown(&mut self) -> Vec<(usize, Vec<Row>)> {
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
        self.applied.messages + self.covered.messages
    }

    /// The core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The rows of the flows that are not in their tables yet.
    pub fn fired(&self) -> &Fired {
        &self.fired
    }

    /// The outbox.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}

impl<A> Default for Unacknowledged<A> {
    fn default() -> Self {
        Self { handles: Vec::new(), messages: 0 }
    }
}
