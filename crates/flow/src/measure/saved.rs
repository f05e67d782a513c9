//! Columns as checkpoints hold them, apart from the types of a running flow.

use serde::{Deserialize, Serialize};

use super::{
    Columns,
    column::Column,
    distinct::{Items, Sketch},
    extreme::{Extreme, Values},
    sum::Sum,
};
use crate::number::{Amount, Total};

/// Some rows of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedColumn {
    /// Numbers of events.
    Counts(Vec<u64>),
    /// Sums, and how many events are in them.
    Sums(Vec<(Total, u64)>),
    /// Smallest or largest values.
    Extremes(Vec<Option<Amount>>),
    /// Sketches; no bytes for an empty one.
    Sketches(Vec<Box<[u8]>>),
    /// All values, with the number of events that have each.
    Values(Vec<Vec<(Amount, u64)>>),
    /// The hashes of all values, with the number of events that have each.
    Items(Vec<Vec<(u64, u64)>>),
}

impl Columns {
    /// No rows of each column.
    pub fn saved(&self) -> Vec<SavedColumn> {
        let empty = |column: &Column| match column {
            Column::Counts(_) => SavedColumn::Counts(Vec::new()),
            Column::Sums(_) => SavedColumn::Sums(Vec::new()),
            Column::Least(_) | Column::Most(_) => SavedColumn::Extremes(Vec::new()),
            Column::Distinct(_) => SavedColumn::Sketches(Vec::new()),
            Column::LeastOf(_) | Column::MostOf(_) => SavedColumn::Values(Vec::new()),
            Column::DistinctOf(_) => SavedColumn::Items(Vec::new()),
        };
        self.columns.iter().map(empty).collect()
    }

    /// Adds a row to saved columns of the same kinds. Returns about how many bytes it has there.
    pub fn save(&self, row: usize, saved: &mut [SavedColumn]) -> usize {
        fn put<T>(list: &mut Vec<T>, value: T, heap: usize) -> usize {
            list.push(value);
            size_of::<T>() + heap
        }
        let save = |(column, saved): (&Column, &mut SavedColumn)| match (column, saved) {
            (Column::Counts(counts), SavedColumn::Counts(list)) => put(list, counts.get(row), 0),
            (Column::Sums(sums), SavedColumn::Sums(list)) => {
                put(list, (sums[row].total, sums[row].events), 0)
            }
            (Column::Least(cells), SavedColumn::Extremes(list)) => put(list, cells[row].0, 0),
            (Column::Most(cells), SavedColumn::Extremes(list)) => put(list, cells[row].0, 0),
            (Column::Distinct(cells), SavedColumn::Sketches(list)) => {
                let bytes = cells[row].serialize();
                let heap = bytes.len();
                put(list, bytes, heap)
            }
            (Column::LeastOf(cells), SavedColumn::Values(list)) => {
                let values = pairs(cells[row].0.iter());
                let heap = size_of_val(values.as_slice());
                put(list, values, heap)
            }
            (Column::MostOf(cells), SavedColumn::Values(list)) => {
                let values = pairs(cells[row].0.iter());
                let heap = size_of_val(values.as_slice());
                put(list, values, heap)
            }
            (Column::DistinctOf(cells), SavedColumn::Items(list)) => {
                let mut items = pairs(cells[row].0.iter().flat_map(|items| items.iter()));
                items.sort_unstable();
                let heap = size_of_val(items.as_slice());
                put(list, items, heap)
            }
            _ => unreachable!("the lists were made for these columns"),
        };
        self.columns.iter().zip(saved).map(save).sum()
    }

    /// Puts a saved row back in the place of one. A column of another kind, and one that was not saved, becomes empty:
    /// its measure did not exist.
    pub fn restore(&mut self, row: usize, saved: &[SavedColumn], from: usize) {
        self.clear(row);
        for (column, saved) in self.columns.iter_mut().zip(saved) {
            match (column, saved) {
                (Column::Counts(counts), SavedColumn::Counts(list)) => {
                    counts.set(row, list.get(from).copied().unwrap_or_default());
                }
                (Column::Sums(cells), SavedColumn::Sums(list)) => {
                    let (total, events) = list.get(from).copied().unwrap_or_default();
                    cells[row] = Sum { total, events };
                }
                (Column::Least(cells), SavedColumn::Extremes(list)) => {
                    cells[row] = Extreme::new(list.get(from).copied().flatten());
                }
                (Column::Most(cells), SavedColumn::Extremes(list)) => {
                    cells[row] = Extreme::new(list.get(from).copied().flatten());
                }
                (Column::Distinct(cells), SavedColumn::Sketches(list)) => {
                    let bytes = list.get(from).map_or(&[][..], |bytes| bytes);
                    cells[row] = Sketch::deserialize(bytes).unwrap_or_default();
                }
                (Column::LeastOf(cells), SavedColumn::Values(list)) => {
                    cells[row] = Values::new(list.get(from).into_iter().flatten().copied());
                }
                (Column::MostOf(cells), SavedColumn::Values(list)) => {
                    cells[row] = Values::new(list.get(from).into_iter().flatten().copied());
                }
                (Column::DistinctOf(cells), SavedColumn::Items(list)) => {
                    cells[row] = Items::new(list.get(from).into_iter().flatten().copied());
                }
                _ => {}
            }
        }
    }
}

impl SavedColumn {
    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Counts(list) => size_of_val(list.as_slice()),
            Self::Sums(list) => size_of_val(list.as_slice()),
            Self::Extremes(list) => size_of_val(list.as_slice()),
            Self::Sketches(list) => list.iter().map(|bytes| 16 + bytes.len()).sum(),
            Self::Values(list) => list.iter().map(|values| 24 + size_of_val(values.as_slice())).sum(),
            Self::Items(list) => list.iter().map(|items| 24 + size_of_val(items.as_slice())).sum(),
        }
    }
}

fn pairs<'a, K: Copy + 'a>(entries: impl Iterator<Item = (&'a K, &'a u64)>) -> Vec<(K, u64)> {
    entries.map(|(key, count)| (*key, *count)).collect()
}
