//! Appends: rows on their way to a table, fixed before the first attempt so that every repetition
//! is the same bytes at the same place.
//!
//! See the writer for encoding and sending, and the processor for the time of sending.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::row::{DeadLetterRow, ProgressRow, Row};

/// One of the tables of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    /// A flow's panes.
    Flow(Arc<str>),
    /// `<flow>_progress`.
    Progress(Arc<str>),
    /// `dead_letters`.
    DeadLetters,
}

/// Rows of one table.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// For [`Table::Flow`].
    Panes(&'a [Row]),
    /// For [`Table::Progress`].
    Progress(&'a [ProgressRow]),
    /// For [`Table::DeadLetters`].
    DeadLetters(&'a [DeadLetterRow]),
}

/// Encoded rows that fit into one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// How many rows.
    pub rows: u32,
    /// The rows in the writer's encoding.
    pub bytes: Vec<u8>,
}

/// One request: these bytes at this offset of this stream, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Which table.
    pub table: Table,
    /// The stream's name as the writer gave it.
    pub stream: String,
    /// The number of rows before it in the stream.
    pub offset: u64,
    /// How many rows it adds.
    pub rows: u32,
    /// The rows in the writer's encoding.
    pub body: Arc<[u8]>,
}

/// The outcome of an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The rows are in the table, from this attempt or from an earlier one.
    Done,
    /// The stream is no more (BigQuery forgets idle ones); the rows need another.
    StreamGone,
    /// The table refuses these rows (index in the request, reason without content); none was added.
    Refused(Vec<(u32, String)>),
    /// The stream ends before the offset: rows are missing that were thought delivered.
    Gap,
}

impl Table {
    /// The table's name.
    pub fn name(&self) -> String {
        match self {
            Self::Flow(flow) => flow.to_string(),
            Self::Progress(flow) => format!("{flow}_progress"),
            Self::DeadLetters => crate::row::DEAD_LETTERS.to_owned(),
        }
    }
}
