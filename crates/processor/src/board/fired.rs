//! Rows that have fired and are not in their tables yet, grouped by the requests of [`crate::outbox`].
//!
//! The board shows a row only once it is in its table, and the outbox holds encoded bytes, so the rows wait here.
//! Requests of an earlier run are absent: their rows are not decoded.

use std::collections::VecDeque;

use event::EventTime;
use flow::row::Row;

/// The rows of the requests in flight.
#[derive(Debug, Default)]
pub struct Fired {
    requests: VecDeque<Request>,
    rows: usize,
}

#[derive(Debug)]
struct Request {
    number: u64,
    at: EventTime,
    flow: usize,
    rows: Vec<Row>,
}

/// Approximate bytes of a row without its key, which is shared.
const ROW_BYTES: u64 = 144;

impl Fired {
    /// Adds the rows of a flow that go into requests of these sizes. `first` is the number of the first request.
    pub fn push(
        &mut self,
        first: u64,
        flow: usize,
        mut rows: Vec<Row>,
        sizes: impl Iterator<Item = u32>,
        at: EventTime,
    ) {
        self.rows += rows.len();
        for (number, size) in (first..).zip(sizes.filter(|size| *size > 0)) {
            let rest = rows.split_off((size as usize).min(rows.len()));
            self.requests.push_back(Request { number, at, flow, rows });
            rows = rest;
        }
    }

    /// Removes the rows that the table refused, by their indexes in the request.
    pub fn refused(&mut self, number: u64, refused: &[u32]) {
        if let Some(request) = self.requests.iter_mut().find(|request| request.number == number) {
            let mut index = 0;
            request.rows.retain(|_| {
                index += 1;
                !refused.contains(&(index - 1))
            });
        }
    }

    /// Removes the requests up to this number, which are in their tables. Returns their rows with the flow's index.
    pub fn delivered(&mut self, number: u64) -> Vec<(usize, Vec<Row>)> {
        let mut delivered = Vec::new();
        while self.requests.front().is_some_and(|request| request.number <= number)
            && let Some(request) = self.requests.pop_front()
        {
            self.rows = self.rows.saturating_sub(request.rows.len());
            delivered.push((request.flow, request.rows));
        }
        delivered
    }

    /// The number of the oldest request, and the time at which it was added; `None` if no request waits.
    pub fn oldest(&self) -> Option<(u64, EventTime)> {
        self.requests.front().map(|request| (request.number, request.at))
    }

    /// Approximate bytes of the rows.
    pub fn bytes(&self) -> u64 {
        ROW_BYTES * self.rows as u64
    }
}

#[cfg(test)]
mod tests {

    use flow::{
        row::{Pane, Replaced, Value},
        window::Window,
    };
    use smallvec::smallvec;

    use super::*;

    fn rows(count: u64) -> Vec<Row> {
        let row = |views| Row {
            key: [None::<&str>].into_iter().collect(),
            window: Window { start: EventTime(0), end: EventTime(1) },
            values: smallvec![Value::Count(views)],
            pane: Pane::OnTime,
            pane_index: 0,
            watermark: EventTime(1),
            emitted_at: EventTime(1),
            replaced: Replaced::default(),
        };
        (0..count).map(row).collect()
    }

    fn views(delivered: Vec<(usize, Vec<Row>)>) -> Vec<(usize, Vec<u64>)> {
        delivered
            .into_iter()
            .map(|(flow, rows)| (flow, rows.iter().filter_map(|row| row.values[0].count()).collect()))
            .collect()
    }

    #[test]
    fn only_what_a_table_took_is_delivered() {
        let mut fired = Fired::default();
        fired.push(7, 0, rows(5), [3, 0, 2].into_iter(), EventTime(10));
        fired.push(9, 1, rows(2), [2].into_iter(), EventTime(20));
        assert_eq!((fired.oldest(), fired.bytes()), (Some((7, EventTime(10))), 7 * ROW_BYTES));
        fired.refused(8, &[0]);
        assert_eq!(views(fired.delivered(6)), vec![]);
        assert_eq!(views(fired.delivered(8)), vec![(0, vec![0, 1, 2]), (0, vec![4])]);
        assert_eq!(fired.oldest(), Some((9, EventTime(20))));
        assert_eq!(views(fired.delivered(9)), vec![(1, vec![0, 1])]);
        assert_eq!(fired.oldest(), None);
    }
}
