//! Turns fired panes into requests, and rows that a table refuses into rows of `dead_letters`.

use std::sync::Arc;

use event::EventTime;
use flow::{
    append::{Rows, Table},
    row::{DeadLetterRow, Row},
};

use super::{Delivery, Stages};
use crate::{error::ProcessorError, sink::Sink};

impl<A> Stages<A> {
    /// Fixes the stream and offset of every row that fired since the last call, for every writer.
    pub(super) fn fill_outboxes(
        &mut self,
        now: EventTime,
        sinks: &[Arc<impl Sink>],
    ) -> Result<(), ProcessorError> {
        let effects = self.core.take_effects();
        let names: Vec<Arc<str>> =
            self.core.engine().flows().iter().map(|flow| flow.name().clone()).collect();
        let (first, others) = self.deliveries.split_first_mut().expect("there is a writer");
        for (flow, rows) in effects.output.rows {
            let table = Table::Flow(names[flow].clone());
            for (delivery, sink) in others.iter_mut().zip(&sinks[1..]) {
                delivery.push_copies(&table, (flow, &rows), now, &**sink)?;
            }
            first.push_panes(&table, (flow, rows), now, &*sinks[0])?;
        }
        for (delivery, sink) in self.deliveries.iter_mut().zip(sinks) {
            for (flow, row) in &effects.output.progress {
                let table = Table::Progress(names[*flow].clone());
                let bodies = sink.encode(&table, Rows::Progress(std::slice::from_ref(row)))?;
                delivery.outbox.push(&table, bodies);
            }
            if !effects.dead_letters.is_empty() {
                delivery.push_dead_letters(&effects.dead_letters, &**sink)?;
            }
        }
        Ok(())
    }

    /// Takes the number of rows that were too large for a request since the last call, by writer and table.
    pub fn take_left_out(&mut self) -> Vec<(Arc<str>, Table, usize)> {
        let mut left_out = Vec::new();
        for delivery in &mut self.deliveries {
            let taken = std::mem::take(&mut delivery.left_out).into_iter();
            left_out.extend(taken.map(|(table, rows)| (delivery.name.clone(), table, rows)));
        }
        left_out
    }
}

impl Delivery {
    /// Removes refused rows from their request and records them as dead letters. Returns the table of the request; `None`
    /// if there is no such request.
    pub(super) fn refused(
        &mut self,
        number: u64,
        rows: &[(u32, String)],
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<Option<Table>, ProcessorError> {
        let Some((_, append)) = self.outbox.pending_from(number).next().cloned() else { return Ok(None) };
        let indexes: Vec<u32> = rows.iter().map(|(index, _)| *index).collect();
        let body = sink.without(&append, &indexes)?;
        self.outbox.replace(number, body);
        self.fired.refused(number, &indexes);
        let letters: Vec<DeadLetterRow> = rows
            .iter()
            .map(|(index, reason)| dead_row(&append.table, append.offset + u64::from(*index), reason, now))
            .collect();
        self.push_dead_letters(&letters, sink)?;
        Ok(Some(append.table))
    }

    /// Adds the rows of a flow, by the flow's index, and keeps them for the board.
    fn push_panes(
        &mut self,
        table: &Table,
        (flow, mut rows): (usize, Vec<Row>),
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<(), ProcessorError> {
        self.leave_out(table, &mut rows, now, sink)?;
        let bodies = sink.encode(table, Rows::Panes(&rows))?;
        self.fired.push(self.outbox.next(), flow, rows, bodies.iter().map(|body| body.rows), now);
        self.outbox.push(table, bodies);
        Ok(())
    }

    /// As [`push_panes`](Self::push_panes), for rows that another writer keeps.
    fn push_copies(
        &mut self,
        table: &Table,
        (flow, rows): (usize, &[Row]),
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<(), ProcessorError> {
        let bodies = if sink.too_large(Rows::Panes(rows)).is_empty() {
            sink.encode(table, Rows::Panes(rows))?
        } else {
            let mut rows = rows.to_vec();
            self.leave_out(table, &mut rows, now, sink)?;
            sink.encode(table, Rows::Panes(&rows))?
        };
        self.fired.push(self.outbox.next(), flow, Vec::new(), bodies.iter().map(|body| body.rows), now);
        self.outbox.push(table, bodies);
        Ok(())
    }

    /// Removes rows that are too large for a request. Their `dead_letters` rows have the offset that the stream had
    /// reached.
    fn leave_out(
        &mut self,
        table: &Table,
        rows: &mut Vec<Row>,
        now: EventTime,
        sink: &impl Sink,
    ) -> Result<(), ProcessorError> {
        let large = sink.too_large(Rows::Panes(rows));
        if large.is_empty() {
            return Ok(());
        }
        let mut index = 0..;
        rows.retain(|_| index.next().is_none_or(|index| !large.contains(&index)));
        let letter = dead_row(table, self.outbox.stream_rows(table), "too-large", now);
        self.push_dead_letters(&vec![letter; large.len()], sink)?;
        self.left_out.push((table.clone(), large.len()));
        Ok(())
    }

    fn push_dead_letters(&mut self, rows: &[DeadLetterRow], sink: &impl Sink) -> Result<(), ProcessorError> {
        let bodies = sink.encode(&Table::DeadLetters, Rows::DeadLetters(rows))?;
        self.outbox.push(&Table::DeadLetters, bodies);
        Ok(())
    }
}

/// The row of `dead_letters` for a row that its table refuses.
fn dead_row(table: &Table, offset: u64, reason: &str, now: EventTime) -> DeadLetterRow {
    DeadLetterRow {
        topic: table.name().into(),
        partition: -1,
        offset,
        stage: Arc::from("writer"),
        reason: reason.to_owned(),
        pointer: None,
        seen_at: now,
    }
}
