//! The results of a board's queries: the busiest keys of a window, and the windows of one key with their panes.

use std::sync::Arc;

use event::{EventTime, time::as_text};
use flow::{
    Window,
    row::{MeasureColumns, Pane, Values},
};
use serde::Serialize;

use super::json::{maybe_window, measured, window};

/// The values of a row, and the measures that turn them into columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The measures of the flow, shared by all of its rows.
    pub measures: Arc<[MeasureColumns]>,
    /// The stored values.
    pub values: Values,
}

/// A query for keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The index of the column by which keys are grouped; `None` for single keys.
    pub by: Option<usize>,
    /// Only keys that contain this text.
    pub find: String,
    /// The maximum number of rows.
    pub limit: usize,
}

/// The busiest keys of one window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Busiest {
    /// The newest complete window, or the oldest open one if none is complete; `None` if there are no rows.
    #[serde(serialize_with = "maybe_window")]
    pub window: Option<Window>,
    /// Whether the window has fired ON_TIME.
    pub is_complete: bool,
    /// The number of keys or groups that match, shown or not.
    pub found: usize,
    /// Whether the least busy keys were dropped because the board is full.
    pub left_out: bool,
    /// The rows, the busiest first.
    pub rows: Vec<Busy>,
}

/// One key, or all keys with one value of a column.
#[derive(Clone, Debug, Serialize)]
pub struct Busy {
    /// The values of the key, or the value of the group. NULL is a group of its own.
    pub key: Vec<Option<Box<str>>>,
    /// How many keys the row aggregates.
    pub keys: usize,
    /// The row's own window, if keys do not share their windows.
    #[serde(serialize_with = "maybe_window", skip_serializing_if = "Option::is_none")]
    pub session: Option<Window>,
    /// The measures.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
    /// The windows of the last hour.
    pub course: Vec<Point>,
}

/// One window of a course.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The end of the window.
    #[serde(serialize_with = "as_text")]
    pub end: EventTime,
    /// The measures.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
}

/// A window of one key with its panes.
#[derive(Clone, Debug, Serialize)]
pub struct KeyWindow {
    /// Its start and end.
    #[serde(flatten, serialize_with = "window")]
    pub window: Window,
    /// The panes by index; if there are many EARLY or LATE ones, only the newest.
    pub panes: Vec<ShownPane>,
}

/// A pane.
#[derive(Clone, Debug, Serialize)]
pub struct ShownPane {
    /// The kind of firing.
    pub pane: Pane,
    /// The index of the firing, from 0.
    pub pane_index: u32,
    /// The measures.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
    /// The flow's watermark when it fired.
    #[serde(serialize_with = "as_text")]
    pub watermark: EventTime,
    /// The time at which it fired, by the processor's clock.
    #[serde(serialize_with = "as_text")]
    pub emitted_at: EventTime,
}
