//! Cells of one measure side by side, and those of all measures of a flow.

use super::{
    Aggregation, Cell, Change, Fed, Feeds,
    count::Counts,
    distinct::{Items, Sketch},
    extreme::{Extreme, Least, Most, Values},
    sum::Sum,
};
use crate::row;

/// The cells of one measure.
#[derive(Clone, Debug)]
pub enum Column {
    /// Numbers of events.
    Counts(Counts),
    /// Sums.
    Sums(Vec<Sum>),
    /// Smallest values.
    Least(Vec<Extreme<Least>>),
    /// Largest values.
    Most(Vec<Extreme<Most>>),
    /// Distinct values.
    Distinct(Vec<Sketch>),
    /// Smallest values of events that may be taken back.
    LeastOf(Vec<Values<Least>>),
    /// Largest values of events that may be taken back.
    MostOf(Vec<Values<Most>>),
    /// Distinct values of events that may be taken back.
    DistinctOf(Vec<Items>),
}

/// Calls the same method on the cells of any kind but counts.
macro_rules! cells {
    ($column:expr, $counts:ident => $count:expr, $cells:ident => $cell:expr) => {
        match $column {
            Column::Counts($counts) => $count,
            Column::Sums($cells) => $cell,
            Column::Least($cells) => $cell,
            Column::Most($cells) => $cell,
            Column::Distinct($cells) => $cell,
            Column::LeastOf($cells) => $cell,
            Column::MostOf($cells) => $cell,
            Column::DistinctOf($cells) => $cell,
        }
    };
}

/// Calls the same method on two columns of one kind.
macro_rules! pairs {
    ($pair:expr, $counts:ident, $other_counts:ident => $count:expr, $cells:ident, $others:ident => $cell:expr) => {
        match $pair {
            (Column::Counts($counts), Column::Counts($other_counts)) => $count,
            (Column::Sums($cells), Column::Sums($others)) => $cell,
            (Column::Least($cells), Column::Least($others)) => $cell,
            (Column::Most($cells), Column::Most($others)) => $cell,
            (Column::Distinct($cells), Column::Distinct($others)) => $cell,
            (Column::LeastOf($cells), Column::LeastOf($others)) => $cell,
            (Column::MostOf($cells), Column::MostOf($others)) => $cell,
            (Column::DistinctOf($cells), Column::DistinctOf($others)) => $cell,
            _ => unreachable!("columns of one measure are of one kind"),
        }
    };
}

impl Column {
    /// An empty column. `can_forget`: whether events may be taken back.
    pub fn new(aggregation: &Aggregation, can_forget: bool) -> Self {
        match (aggregation, can_forget) {
            (Aggregation::Count, _) => Self::Counts(Counts::default()),
            (Aggregation::Sum(_), _) => Self::Sums(Vec::new()),
            (Aggregation::Min(_), false) => Self::Least(Vec::new()),
            (Aggregation::Max(_), false) => Self::Most(Vec::new()),
            (Aggregation::Distinct { .. }, false) => Self::Distinct(Vec::new()),
            (Aggregation::Min(_), true) => Self::LeastOf(Vec::new()),
            (Aggregation::Max(_), true) => Self::MostOf(Vec::new()),
            (Aggregation::Distinct { .. }, true) => Self::DistinctOf(Vec::new()),
        }
    }

    /// Whether a change of it needs an input.
    fn has_input(&self) -> bool {
        !matches!(self, Self::Counts(_))
    }
}

/// The cells of all stored measures of a flow, by row.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub(super) columns: Box<[Column]>,
    /// The columns whose rows carry a sketch.
    sketches: Feeds,
    rows: usize,
}

impl Columns {
    /// No rows yet. `can_forget`: whether events may be taken back.
    pub fn new(fed: &[Fed], can_forget: bool) -> Self {
        let columns = fed.iter().map(|fed| Column::new(&fed.aggregation, can_forget));
        let sketches = fed
            .iter()
            .enumerate()
            .filter(|(_, fed)| matches!(fed.aggregation, Aggregation::Distinct { sketch: true, .. }));
        let sketches = sketches.fold(0, |mask, (number, _)| mask | 1 << number);
        Self { columns: columns.collect(), sketches, rows: 0 }
    }

    /// No rows, and columns of the same kinds.
    pub fn emptied(&self) -> Self {
        let empty = |column: &Column| match column {
            Column::Counts(_) => Column::Counts(Counts::default()),
            Column::Sums(_) => Column::Sums(Vec::new()),
            Column::Least(_) => Column::Least(Vec::new()),
            Column::Most(_) => Column::Most(Vec::new()),
            Column::Distinct(_) => Column::Distinct(Vec::new()),
            Column::LeastOf(_) => Column::LeastOf(Vec::new()),
            Column::MostOf(_) => Column::MostOf(Vec::new()),
            Column::DistinctOf(_) => Column::DistinctOf(Vec::new()),
        };
        Self { columns: self.columns.iter().map(empty).collect(), sketches: self.sketches, rows: 0 }
    }

    /// No rows, and columns to merge those of many slices into.
    pub fn for_merging(&self) -> Self {
        let mut columns = self.emptied();
        for column in &mut columns.columns {
            if let Column::Counts(counts) = column {
                *counts = Counts::wide();
            }
        }
        columns
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds empty rows, or cuts rows off.
    pub fn resize(&mut self, rows: usize) {
        self.rows = rows;
        for column in &mut self.columns {
            cells!(column, counts => counts.resize(rows), cells => {
                reserve(cells, rows);
                cells.resize_with(rows, Default::default);
            });
        }
    }

    /// Applies a change to a row.
    #[inline]
    pub fn add(&mut self, row: usize, change: &Change<'_>) {
        let (mut feeds, mut inputs) = (change.feeds, change.inputs.iter());
        while feeds != 0 {
            let column = &mut self.columns[feeds.trailing_zeros() as usize];
            feeds &= feeds - 1;
            let input = if column.has_input() { inputs.next().copied() } else { None };
            cells!(column, counts => counts.add(row, change.times), cells => cells[row].add(input, change.times));
        }
    }

    /// Adds a row of other columns.
    pub fn merge(&mut self, row: usize, other: &Self, from: usize) {
        for pair in self.columns.iter_mut().zip(&other.columns) {
            pairs!(pair, counts, others => counts.merge(row, others, from), cells, others => cells[row].merge(&others[from]));
        }
    }

    /// Merges row `from` into row `row` of these columns. Nothing may read `from` afterwards.
    pub fn merge_within(&mut self, row: usize, from: usize) {
        for column in &mut self.columns {
            cells!(column, counts => counts.set(row, counts.get(row) + counts.get(from)), cells => {
                let other = std::mem::take(&mut cells[from]);
                cells[row].merge(&other);
            });
        }
    }

    /// Adds every row to the row that `place` gives for it.
    pub fn merge_into(&self, target: &mut Self, place: impl Fn(usize) -> usize) {
        for pair in target.columns.iter_mut().zip(&self.columns) {
            pairs!(
                pair,
                sums, counts => (0..self.rows).for_each(|row| sums.merge(place(row), counts, row)),
                cells, others => others.iter().enumerate().for_each(|(row, other)| cells[place(row)].merge(other))
            );
        }
    }

    /// Adds every row to the same row of columns with at least as many.
    pub fn merge_all(&self, target: &mut Self) {
        for pair in target.columns.iter_mut().zip(&self.columns) {
            pairs!(
                pair,
                sums, counts => sums.merge_all(counts),
                cells, others => cells.iter_mut().zip(others).for_each(|(cell, other)| cell.merge(other))
            );
        }
    }

    /// Whether nothing is in a row.
    pub fn is_empty(&self, row: usize) -> bool {
        let is_empty =
            |column: &Column| cells!(column, counts => counts.get(row) == 0, cells => cells[row].is_empty());
        self.columns.iter().all(is_empty)
    }

    /// The values of a row.
    pub fn values(&self, row: usize) -> row::Values {
        let value = |(number, column): (usize, &Column)| cells!(column, counts => counts.value(row), cells => cells[row].value(self.sketches >> number & 1 == 1));
        self.columns.iter().enumerate().map(value).collect()
    }

    /// Empties a row.
    pub fn clear(&mut self, row: usize) {
        for column in &mut self.columns {
            cells!(column, counts => counts.set(row, 0), cells => cells[row] = Default::default());
        }
    }

    /// Copies a row of other columns over one of these.
    pub fn copy(&mut self, row: usize, other: &Self, from: usize) {
        self.clear(row);
        self.merge(row, other, from);
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let bytes = |column: &Column| {
            cells!(column, counts => counts.bytes(), cells => {
                size_of_val(cells.as_slice()) / cells.len().max(1) * cells.capacity()
                    + cells.iter().map(Cell::heap).sum::<usize>()
            })
        };
        self.columns.iter().map(bytes).sum()
    }

    /// Bytes of a row, without what it points to.
    pub fn row_bytes(&self) -> usize {
        fn size<T>(_: &[T]) -> usize {
            size_of::<T>()
        }
        self.columns.iter().map(|column| cells!(column, _counts => 4, cells => size(cells))).sum()
    }
}

/// Makes room by a quarter: a column is large, and there are several for each slice.
pub(super) fn reserve<T>(cells: &mut Vec<T>, rows: usize) {
    if rows > cells.capacity() {
        let more = rows - cells.len();
        cells.reserve_exact(more.max(cells.len() / 4).max(4));
    }
}
