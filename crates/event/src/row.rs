//! The rows that Aqueduct writes, and the shape of the tables that hold them.
//!
//! Not here: how a database or a file spells them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub use crate::key::Key;
use crate::{ctr::Ctr, ledger::Ledger, time::EventTime, units::Millis, window::Window};

/// Which firing of a window a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pane {
    /// Before the watermark passed the window's end.
    Early,
    /// When it passed; at most once a window and key.
    OnTime,
    /// Because of an event that came after.
    Late,
}

/// The table of one flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTable {
    /// The flow's name; also the table's.
    pub flow: Arc<str>,
    /// Names of the `by` columns.
    pub columns: Vec<String>,
    /// Whether the rows carry `attributed_clicks` and `ctr_attributed`.
    pub join: bool,
    /// After that long behind its end a window is final.
    pub allowed_lateness: Millis,
}

/// One flow, window, key and pane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtrRow {
    /// The `by` columns.
    pub key: Key,
    /// The window.
    pub window: Window,
    /// What was counted in it.
    pub ctr: Ctr,
    /// Which firing.
    pub pane: Pane,
    /// Counts the firings of this window and key from 0.
    pub pane_index: u32,
    /// The flow's watermark when it fired.
    pub watermark: EventTime,
    /// When it fired, by the processor's clock.
    pub emitted_at: EventTime,
}

/// A line of `<flow>_progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRow {
    /// When it was written, by the processor's clock.
    pub at: EventTime,
    /// The flow's watermark.
    pub watermark: EventTime,
    /// What became of every offset so far.
    pub ledger: Ledger,
}

/// A line of `dead_letters`: where a refused record stands and why, never what it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// The Kafka topic; for a message without a position, the Pub/Sub subscription.
    pub topic: Arc<str>,
    /// The partition; -1 without a position.
    pub partition: i32,
    /// The offset; the message's publish time in milliseconds without a position.
    pub offset: u64,
    /// `connector`, or `processor`, or `writer`.
    pub stage: Arc<str>,
    /// A reason code.
    pub reason: String,
    /// The declared pointer that it is about.
    pub pointer: Option<String>,
    /// When it was seen, by the processor's clock.
    pub seen_at: EventTime,
}

impl Pane {
    /// The word in the `pane` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Early => "EARLY",
            Self::OnTime => "ON_TIME",
            Self::Late => "LATE",
        }
    }
}

impl fmt::Display for Pane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FlowTable {
    /// The table with a line a minute.
    pub fn progress_name(&self) -> String {
        format!("{}_progress", self.flow)
    }

    /// The view of the newest panes.
    pub fn latest_name(&self) -> String {
        format!("{}_latest", self.flow)
    }
}

/// The table of refused records, one for all flows.
pub const DEAD_LETTERS: &str = "dead_letters";
