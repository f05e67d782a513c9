//! The order that keeps the promises: applied, then in a checkpoint, then durable, and only then acknowledged and sent.
//!
//! Pure: it says what may be acknowledged, saved and sent now, and is told what became of it, so that a simulation
//! drives the very order that production keeps. `A` is whatever acknowledges a message. Not here: when a checkpoint is
//! due, and anything that waits.

mod gone;

mod rows;

use event::{EventTime, Mark, mark::MarkError};
use flow::{
    append::{Append, Table},
    row::Row,
};

pub use gone::Reopen;
use gone::Reopening;

use crate::{
    board::Fired,
    core::{Core, Data},
    error::ProcessorError,
    frontier::Abandoned,
    outbox::Outbox,
    saved::{Budget, Round, Saved, save},
    sink::{Sink, SinkError},
};

/// Request bytes that may wait before messages are left where they are.
const OUTBOX_BYTES: u64 = 64 << 20;

/// Core and outbox, with what waits for a checkpoint and what waits for its table.
#[derive(Debug)]
pub struct Stages<A> {
    core: Core,
    outbox: Outbox,
    /// How far the full copy of the state has come that checkpoints take in parts.
    round: Round,
    /// The rows of the flows that wait in the outbox, for those who watch.
    fired: Fired,
    /// Applied since the last checkpoint was taken.
    applied: Unacknowledged<A>,
    /// Covered by the checkpoint that is on its way.
    covered: Unacknowledged<A>,
    is_saving: bool,
    is_sending: bool,
    /// The table whose stream is gone: nothing is sent before it has another.
    reopening: Option<Reopening>,
    /// Rows that no request can carry, since they were last asked for.
    left_out: Vec<(Table, usize)>,
    /// Requests below this number have been handed to the sender.
    sent: u64,
    /// Requests below this number are in a durable checkpoint.
    durable: u64,
    /// Requests below this number are in the checkpoint that is on its way.
    covers: u64,
}

/// What acknowledges messages, one by one or some together.
#[derive(Debug)]
struct Unacknowledged<A> {
    handles: Vec<A>,
    messages: usize,
}

/// How far a run of requests came.
#[derive(Debug)]
pub struct Sent {
    /// The last request whose rows stand in their table.
    pub done: Option<u64>,
    /// Why it ended before the last request.
    pub stopped: Option<Stopped>,
}

/// What ended a run of requests.
#[derive(Debug)]
pub enum Stopped {
    /// The request's stream is no more.
    StreamGone(Table),
    /// The table refuses rows of the request.
    Refused(u64, Vec<(u32, String)>),
    /// Rows are missing in front of the request.
    Gap(String),
    /// Waiting does not help.
    Failed(SinkError),
}

/// What a run of requests brought.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Rows that stand in their tables.
    pub rows: u64,
    /// Those of them that are panes.
    pub flow_rows: u64,
    /// The table whose stream is gone: [`Stages::reopening`] says what comes next.
    pub gone: Option<Table>,
    /// The table that refused rows, and how many.
    pub refused: Option<(Table, usize)>,
    /// The panes that stand in their tables now, by the flow's number; those of an earlier run are not among them.
    pub shown: Vec<(usize, Vec<Row>)>,
}

impl<A> Stages<A> {
    /// What recovery gave. What an earlier run fixed may be sent at once: it is durable.
    pub fn new(core: Core, outbox: Outbox) -> Self {
        let durable = outbox.next();
        Self {
            core,
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

    /// Whether messages may be applied. Without streams a pane that fires has no place in the state yet.
    pub fn has_room(&self) -> bool {
        self.has_streams() && self.outbox.bytes() < OUTBOX_BYTES
    }

    /// Applies a data message; [`Self::applied`] follows. `format`: what the message contains instead of one event.
    ///
    /// # Errors
    /// A newer connector wrote the message. It must not be acknowledged.
    pub fn data(
        &mut self,
        data: &Data<'_>,
        format: Option<&[u8]>,
        now: EventTime,
    ) -> Result<(), ProcessorError> {
        if let Some(format) = format {
            let format = String::from_utf8_lossy(format).into_owned();
            return Err(ProcessorError::NewerMessage { format });
        }
        self.core.data(data, now);
        Ok(())
    }

    /// Applies a message of the marks subscription; [`Self::applied`] follows. Returns the mark; `None` for a message
    /// that no connector wrote.
    ///
    /// # Errors
    /// A newer connector wrote the mark. Acknowledged, it would be gone: its offsets would become holes, and then lost.
    pub fn mark(
        &mut self,
        message: &[u8],
        published: EventTime,
        now: EventTime,
    ) -> Result<Option<Mark>, ProcessorError> {
        match Mark::from_json(message) {
            Ok(mark) => {
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

    /// So many messages have been applied, which this acknowledges once a checkpoint that holds them is durable.
    pub fn applied(&mut self, ack: A, messages: usize) {
        self.applied.handles.push(ack);
        self.applied.messages += messages;
    }

    /// Lets time pass. Returns the holes that were given up.
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

    /// A table has this stream from now on.
    pub fn opened(&mut self, table: &Table, stream: String) {
        self.outbox.open(table, stream);
        if self.reopening.take_if(|reopening| reopening.table == *table).is_some() {
            // Requests have moved: a checkpoint must hold their new place first, not the one that is on its way.
            self.hold_back();
        }
    }

    /// Takes a checkpoint: lets fire what changed, fixes where every row goes, and says what is to be made durable.
    /// Nothing while one is on its way.
    ///
    /// # Errors
    /// Rows do not fit their table.
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

    /// The checkpoint is durable, and nobody had taken over by then. Returns what is to be acknowledged.
    pub fn durable(&mut self) -> Vec<A> {
        self.is_saving = false;
        self.durable = self.durable.max(self.covers);
        std::mem::take(&mut self.covered).handles
    }

    /// Whether a checkpoint is on its way.
    pub fn is_saving(&self) -> bool {
        self.is_saving
    }

    /// Takes what is durable and was not sent yet, to be sent in order. Nothing while a run is on its way.
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

    /// Whether a run of requests is on its way or could be.
    pub fn is_sending(&self) -> bool {
        self.is_sending || self.sent < self.durable
    }

    /// A run of requests has ended.
    ///
    /// # Errors
    /// Waiting does not help.
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
                // Another processor, which stood still meanwhile, may hold the same requests at their old places: what has
                // moved goes to a stream that it does not know. Nothing behind the refused request was sent.
                self.reopening = delivered.refused.as_ref().map(|(table, _)| Reopening {
                    table: table.clone(),
                    from: below,
                    below,
                });
            }
        }
        Ok(delivered)
    }

    /// The panes of requests that are done.
    fn shown(&mut self) -> Vec<(usize, Vec<Row>)> {
        let first = self.first_pending();
        first.checked_sub(1).map_or_else(Vec::new, |last| self.fired.delivered(last))
    }

    fn first_pending(&self) -> u64 {
        self.outbox.pending_from(0).next().map_or(self.outbox.next(), |(number, _)| *number)
    }

    /// Whatever is changed now is sent only after a checkpoint holds it.
    fn hold_back(&mut self) {
        let first = self.first_pending();
        self.sent = first;
        self.durable = first;
        self.covers = self.covers.min(first);
    }

    /// Every table that rows go to.
    fn tables(&self) -> impl Iterator<Item = Table> {
        let flows = self.core.engine().flows().iter().map(|flow| flow.name().clone());
        let tables = flows.flat_map(|flow| [Table::Flow(flow.clone()), Table::Progress(flow)]);
        tables.chain([Table::DeadLetters])
    }

    /// A line of progress of every flow, at the end of a run.
    pub fn progress(&mut self, now: EventTime) {
        if self.has_streams() {
            self.core.progress(now);
        }
    }

    /// Forgets what acknowledges the messages: they come again.
    pub fn give_back(&mut self) {
        self.applied = Unacknowledged::default();
        self.covered = Unacknowledged::default();
    }

    /// How many messages wait for a durable checkpoint.
    pub fn unacknowledged(&self) -> usize {
        self.applied.messages + self.covered.messages
    }

    /// The core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The rows of the flows on their way.
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
