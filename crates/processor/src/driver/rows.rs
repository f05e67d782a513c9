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
        if self.streams_asked {
            return;
        }
        let missing = self.stages.missing_streams();
        self.streams_asked = true;
        if !missing.is_empty() {
            let retries = self.metrics.retries("stream");
            self.tasks.spawn(tasks::open_streams(self.sink.clone(), missing, retries));
        }
    }

    /// Sends the durable requests that have not been sent yet.
    pub(super) fn send_rows(&mut self) {
        let requests = self.stages.requests();
        if !requests.is_empty() {
            self.tasks.spawn(tasks::send(self.sink.clone(), requests, self.metrics.retries("append")));
        }
    }

    pub(super) fn rows_sent(&mut self, sent: Sent) -> Result<(), ProcessorError> {
        let delivered = self.stages.sent(sent, now(), &*self.sink)?;
        self.count(&delivered);
        if let Some((table, rows)) = delivered.refused {
            self.metrics.refused_rows.inc_by(rows as u64);
            let table = table.name();
            error!(
                table,
                rows,
                action = "see the reasons in dead_letters (stage writer); `aqueduct setup --dry-run` shows how the table differs",
                "the table rejected rows; they were skipped and are in dead_letters"
            );
        }
        if let Some(table) = delivered.gone {
            warn!(
                table = table.name(),
                action = "none; the table is queried for the rows that it contains before any are sent again",
                "the table's stream no longer exists; moving unwritten rows to a new stream"
            );
        }
        self.reopen();
        Ok(())
    }

    pub(super) fn count(&mut self, delivered: &Delivered) {
        self.rows += delivered.rows;
        self.flow_rows += delivered.flow_rows;
        self.metrics.rows.inc_by(delivered.rows);
        self.metrics.pending(self.stages.outbox().len());
        for (flow, rows) in &delivered.shown {
            self.board.add(*flow, rows);
        }
    }

    /// Takes the next step towards a new stream for a table whose stream is gone.
    pub(super) fn reopen(&mut self) {
        match self.stages.reopening() {
            Some(Reopen::Ask(append)) => {
                self.tasks.spawn(tasks::contains(self.sink.clone(), append, self.metrics.retries("stream")));
            }
            Some(Reopen::Open(table)) => {
                let retries = self.metrics.retries("stream");
                self.tasks.spawn(tasks::open_streams(self.sink.clone(), vec![table], retries));
            }
            None => {}
        }
    }
}
