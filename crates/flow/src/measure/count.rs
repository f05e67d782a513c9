//! Numbers of events. Four bytes each, and eight from the first one that needs them.

use crate::row::Value;

/// A column of counts. Most never need more than four bytes, and there are as many as keys in all live slices.
#[derive(Clone, Debug)]
pub enum Counts {
    /// All are below 2^32.
    Narrow(Vec<u32>),
    /// Some were not.
    Wide(Vec<u64>),
}

impl Default for Counts {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Counts {
    /// A column to merge others into.
    pub(super) fn wide() -> Self {
        Self::Wide(Vec::new())
    }

    #[inline]
    pub(super) fn add(&mut self, row: usize, times: i64) {
        if let Self::Narrow(counts) = self {
            match i64::from(counts[row]).saturating_add(times).max(0).try_into() {
                Ok(sum) => {
                    counts[row] = sum;
                    return;
                }
                Err(_) => self.widen(),
            }
        }
        if let Self::Wide(counts) = self {
            counts[row] = counts[row].saturating_add_signed(times);
        }
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> u64 {
        match self {
            Self::Narrow(counts) => counts[row].into(),
            Self::Wide(counts) => counts[row],
        }
    }

    pub(super) fn set(&mut self, row: usize, count: u64) {
        if let Self::Narrow(counts) = self {
            match count.try_into() {
                Ok(count) => {
                    counts[row] = count;
                    return;
                }
                Err(_) => self.widen(),
            }
        }
        if let Self::Wide(counts) = self {
            counts[row] = count;
        }
    }

    pub(super) fn value(&self, row: usize) -> Value {
        Value::Count(self.get(row))
    }

    /// Adds a column row by row.
    pub(super) fn merge_all(&mut self, other: &Self) {
        match (self, other) {
            (Self::Wide(sums), Self::Narrow(counts)) => {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u64::from(*count));
            }
            (this, other) => (0..other.len()).for_each(|row| this.merge(row, other, row)),
        }
    }

    #[inline]
    pub(super) fn merge(&mut self, row: usize, other: &Self, from: usize) {
        self.set(row, self.get(row) + other.get(from));
    }

    pub(super) fn resize(&mut self, rows: usize) {
        match self {
            Self::Narrow(counts) => {
                super::column::reserve(counts, rows);
                counts.resize(rows, 0);
            }
            Self::Wide(counts) => {
                super::column::reserve(counts, rows);
                counts.resize(rows, 0);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(counts) => counts.len(),
            Self::Wide(counts) => counts.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(counts) => counts.capacity() * 4,
            Self::Wide(counts) => counts.capacity() * 8,
        }
    }

    fn widen(&mut self) {
        if let Self::Narrow(counts) = self {
            *self = Self::Wide(counts.iter().map(|count| u64::from(*count)).collect());
        }
    }
}
