//! What a board shows: the busiest keys of a window, and the windows of one key with their panes.

use std::sync::Arc;

use event::{EventTime, time::as_text};
use flow::{
    Window,
    row::{MeasureColumns, Pane, Values},
};
use serde::Serialize;

use super::json::{maybe_window, measured, window};

/// The measures of a row, and how its columns follow from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The measures of the flow, shared by all of its rows.
    pub measures: Arc<[MeasureColumns]>,
    /// The stored values.
    pub values: Values,
}

/// Which keys are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The column that keys are added up by; nothing for single keys.
    pub by: Option<usize>,
    /// Only those with this text in them.
    pub find: String,
    /// At most this many.
    pub limit: usize,
}

/// The busiest keys of one window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Busiest {
    /// The newest complete window, or the oldest open one while none is; nothing while there are no rows.
    #[serde(serialize_with = "maybe_window")]
    pub window: Option<Window>,
    /// Whether it has fired ON_TIME.
    pub is_complete: bool,
    /// How many there are, shown or not.
    pub found: usize,
    /// Whether the least busy keys are left out for want of room.
    pub left_out: bool,
    /// The busiest first.
    pub rows: Vec<Busy>,
}

/// One key, or all keys with one value in a column.
#[derive(Clone, Debug, Serialize)]
pub struct Busy {
    /// The key's values, or the one value; null is a group of its own.
    pub key: Vec<Option<Box<str>>>,
    /// How many keys were added up.
    pub keys: usize,
    /// Its own window, where keys do not share theirs.
    #[serde(serialize_with = "maybe_window", skip_serializing_if = "Option::is_none")]
    pub session: Option<Window>,
    /// What was measured.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
    /// The windows of the last hour.
    pub course: Vec<Point>,
}

/// One window in a course.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The window's end.
    #[serde(serialize_with = "as_text")]
    pub end: EventTime,
    /// What was measured in it.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
}

/// A window of one key with its panes.
#[derive(Clone, Debug, Serialize)]
pub struct KeyWindow {
    /// The window.
    #[serde(flatten, serialize_with = "window")]
    pub window: Window,
    /// Its panes by index; of many early or late ones the newest.
    pub panes: Vec<ShownPane>,
}

/// A pane.
#[derive(Clone, Debug, Serialize)]
pub struct ShownPane {
    /// Which firing.
    pub pane: Pane,
    /// Counts the firings from 0.
    pub pane_index: u32,
    /// What was measured.
    #[serde(flatten, serialize_with = "measured")]
    pub measured: Measured,
    /// The flow's watermark when it fired.
    #[serde(serialize_with = "as_text")]
    pub watermark: EventTime,
    /// When it fired.
    #[serde(serialize_with = "as_text")]
    pub emitted_at: EventTime,
}
