//! What a flow counts: measures, and the columns that hold them while windows are open.
//!
//! A measure that is fed by events ([`Fed`]) has one column, in which each row is one cell: a key in a slice, or a session.
//! Cells are mergeable, so that a window is the merge of its slices. Ratios are not stored; they follow from two others.
//!
//! A new measure is a file here with its [`Cell`], a variant of [`Aggregation`] and one of [`Column`].

mod column;
mod count;
mod distinct;
mod extreme;
mod saved;
mod sum;

use event::pointer::Pointer;

use crate::{matching::Match, number::Amount};

pub use column::{Column, Columns};
pub use distinct::{ERROR, Estimate};
pub use saved::SavedColumn;

/// A measure, in the order of its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The column's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a measure is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Stored, and fed by events. The number of the column.
    Fed(usize),
    /// One stored measure divided by another, times a number.
    Ratio {
        /// The column of the numerator.
        of: usize,
        /// The column of the denominator.
        over: usize,
        /// The factor.
        per: f64,
        /// Whether both are counts, so that there is an interval.
        interval: bool,
    },
}

/// A stored measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Fed {
    /// The measure's name.
    pub name: String,
    /// How events change it.
    pub aggregation: Aggregation,
    /// Which events feed it; all if there is none.
    pub events: Option<Match>,
    /// What feeds it.
    pub source: Source,
}

/// How the values of events become one.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregation {
    /// The number of events.
    Count,
    /// The sum of a value.
    Sum(Pointer),
    /// The smallest value.
    Min(Pointer),
    /// The largest value.
    Max(Pointer),
    /// The estimated number of different values.
    Distinct {
        /// The value.
        at: Pointer,
        /// Whether rows carry the sketch, too.
        sketch: bool,
    },
}

/// Where the input of a stored measure originates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Events that match.
    Events,
    /// Events that count as a view: `views` of the flow.
    Views,
    /// Events that count as a click: `clicks` of the flow.
    Clicks,
    /// The join: views that have a click.
    Join,
}

/// What an event contributes to a measure beside being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// For a sum, the smallest or the largest value.
    Number(Amount),
    /// For distinct values: the value's hash.
    Item(u64),
}

/// Which stored measures something feeds: a bit for each.
pub type Feeds = u64;

/// The most stored measures of a flow.
pub const MOST: usize = Feeds::BITS as usize;

/// A change of one cell: an event, or several like it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The measures that it changes.
    pub feeds: Feeds,
    /// The inputs of those that need one, in the order of the measures.
    pub inputs: &'a [Input],
    /// How many such events; negative if they are taken back.
    pub times: i64,
}

impl Change<'_> {
    /// One event that only counts.
    pub fn once(feeds: Feeds) -> Self {
        Self { feeds, inputs: &[], times: 1 }
    }
}

impl Aggregation {
    /// The pointer whose value feeds it; `None` if being there is enough.
    pub fn at(&self) -> Option<&Pointer> {
        match self {
            Self::Count => None,
            Self::Sum(at) | Self::Min(at) | Self::Max(at) | Self::Distinct { at, .. } => Some(at),
        }
    }
}

/// A value that events change and that merges with others of its kind, in any order with the same result.
///
/// Changes with negative `times` reach only columns that [`Column::new`] created with a type from which events can be taken
/// back.
pub(crate) trait Cell: Default + Clone {
    /// Applies a change.
    fn add(&mut self, input: Option<Input>, times: i64);
    /// Adds another cell.
    fn merge(&mut self, other: &Self);
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
    /// Its value in a row. `sketch`: whether the row carries the sketch of a number of distinct values.
    fn value(&self, sketch: bool) -> crate::row::Value;
    /// Bytes that it points to.
    fn heap(&self) -> usize {
        0
    }
}
