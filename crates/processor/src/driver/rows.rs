//! Moves rows to their tables: opens streams, sends requests and handles the answers. [`crate::stages`] decides which
//! request may be sent and what an answer means.

use tracing::{error, warn};

use super::{Driver, now};
use crate::{
    error::ProcessorError,
    io::tasks,
    sink::Sink,
    stages::{Delivered, Reopen, Sent},
};

impl<S: Sink> Driver<S> {
    pub(super) fn open_streams(&mut self) {
        for writer in 0..self.sinks.len() {
            if std::mem::replace(&mut self.streams_asked[writer], true) {
                continue;
            }
            let missing = self.stages.missing_streams(writer);
            if !missing.is_empty() {
                let retries = self.metrics.retries("stream");
                self.tasks.spawn(tasks::open_streams(self.to(writer), missing, retries));
            }
        }
    }

    /// Sends the durable requests that have not been sent yet.
    pub(super) fn send_rows(&mut self) {
        for writer in 0..self.sinks.len() {
            let requests = self.stages.requests(writer);
            if !requests.is_empty() {
                let retries = self.metrics.retries("append");
                self.tasks.spawn(tasks::send(self.to(writer), requests, retries));
            }
        }
    }

    fn to(&self, writer: usize) -> tasks::To<S> {
        (writer, self.sinks[writer].clone())
    }

    pub(super) fn rows_sent(&mut self, writer: usize, sent: Sent) -> Result<(), ProcessorError> {
        let delivered = self.stages.sent(writer, sent, now(), &*self.sinks[writer])?;
        self.count(writer, &delivered);
        let name = self.stages.deliveries()[writer].name().clone();
        if let Some((table, rows)) = delivered.refused {
            self.metrics.refused(&name, rows as u64);
            let table = table.name();
            error!(
                writer = &*name,
                table,
                rows,
                action = "see the reasons in dead_letters (stage writer); `aqueduct setup --dry-run` shows how the table differs",
                "the table rejected rows; they were skipped and are in dead_letters"
            );
        }
        if let Some(table) = delivered.gone {
            warn!(
                writer = &*name,
                table = table.name(),
                action = "none; the table is queried for the rows that it contains before any are sent again",
                "the table's stream no longer exists; moving unwritten rows to a new stream"
            );
        }
        self.reopen(writer);
        Ok(())
    }

    /// Counts rows that are in the tables of a writer. Totals and board are those of the first writer.
    pub(super) fn count(&mut self, writer: usize, delivered: &Delivered) {
        self.metrics.written(self.stages.deliveries()[writer].name(), delivered.rows);
        self.metrics.pending(self.stages.deliveries());
        if writer > 0 {
            return;
        }
        self.rows += delivered.rows;
        self.flow_rows += delivered.flow_rows;
        for (flow, rows) in &delivered.shown {
            self.board.add(*flow, rows);
        }
    }

    /// Takes the next step towards a new stream for a table whose stream is gone.
    pub(super) fn reopen(&mut self, writer: usize) {
        match self.stages.reopening(writer) {
            Some(Reopen::Ask(append)) => {
                let retries = self.metrics.retries("stream");
                self.tasks.spawn(tasks::contains(self.to(writer), append, retries));
            }
            Some(Reopen::Open(table)) => {
                let retries = self.metrics.retries("stream");
                self.tasks.spawn(tasks::open_streams(self.to(writer), vec![table], retries));
            }
            None => {}
        }
    }
}
