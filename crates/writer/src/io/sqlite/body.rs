//! Rows as the bytes of an append to SQLite: a byte of version, then the rows in postcard.
//!
//! Checkpoints hold these bytes, so that a later version must read them: a change of a row's shape
//! needs another version byte here, and the old one to be read still.

use event::{
    CtrRow,
    append::{Append, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    WriterError,
    cells::{self, Cell},
    requests,
};

const VERSION: u8 = 1;

/// Rows of one append.
pub(crate) enum Decoded {
    Panes(Vec<CtrRow>),
    Progress(Vec<ProgressRow>),
    DeadLetters(Vec<DeadLetterRow>),
}

impl Decoded {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Panes(rows) => rows.len(),
            Self::Progress(rows) => rows.len(),
            Self::DeadLetters(rows) => rows.len(),
        }
    }

    /// Visits the values of a row, which there is.
    pub(crate) fn cells<'a>(&'a self, index: usize, join: bool, visit: &mut impl FnMut(Cell<'a>)) {
        match self {
            Self::Panes(rows) => cells::pane(&rows[index], join, visit),
            Self::Progress(rows) => cells::progress(&rows[index], visit),
            Self::DeadLetters(rows) => cells::dead_letter(&rows[index], visit),
        }
    }
}

pub(crate) fn encode(table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
    if !requests::belongs(table, rows) {
        return Err(unfit(table, "the rows are of another kind than the table"));
    }
    let cuts = requests::cuts(&requests::sizes(rows));
    let mut bodies = Vec::with_capacity(cuts.len());
    let mut start = 0;
    for end in cuts {
        bodies.push(match rows {
            Rows::Ctr(rows) => part(table, &rows[start..end])?,
            Rows::Progress(rows) => part(table, &rows[start..end])?,
            Rows::DeadLetters(rows) => part(table, &rows[start..end])?,
        });
        start = end;
    }
    Ok(bodies)
}

/// The append without these rows.
pub(crate) fn without(append: &Append, rows: &[u32]) -> Result<Body, WriterError> {
    match decode(append)? {
        Decoded::Panes(all) => part(&append.table, &kept(all, rows)),
        Decoded::Progress(all) => part(&append.table, &kept(all, rows)),
        Decoded::DeadLetters(all) => part(&append.table, &kept(all, rows)),
    }
}

fn kept<T>(all: Vec<T>, out: &[u32]) -> Vec<T> {
    (0..).zip(all).filter(|(index, _)| !out.contains(index)).map(|(_, row)| row).collect()
}

fn part<T: Serialize>(table: &Table, rows: &[T]) -> Result<Body, WriterError> {
    let bytes = postcard::to_extend(rows, vec![VERSION])
        .map_err(|source| WriterError::Encode { table: table.name(), source: source.into() })?;
    let rows = u32::try_from(rows.len()).expect("a body of a few megabytes has fewer than 2^32 rows");
    Ok(Body { rows, bytes })
}

/// The rows of an append, which must be as many as it says.
pub(crate) fn decode(append: &Append) -> Result<Decoded, WriterError> {
    let wrong = |problem| WriterError::Append { table: append.table.name(), offset: append.offset, problem };
    let Some((&VERSION, bytes)) = append.body.split_first() else {
        return Err(wrong("holds rows in an unknown encoding"));
    };
    let decoded = match &append.table {
        Table::Flow(_) => list(bytes).map(Decoded::Panes),
        Table::Progress(_) => list(bytes).map(Decoded::Progress),
        Table::DeadLetters => list(bytes).map(Decoded::DeadLetters),
    };
    let decoded = decoded.ok_or_else(|| wrong("holds rows that cannot be read"))?;
    if decoded.len() != append.rows as usize {
        return Err(wrong("holds another number of rows than it says"));
    }
    Ok(decoded)
}

fn list<T: DeserializeOwned>(bytes: &[u8]) -> Option<Vec<T>> {
    match postcard::take_from_bytes(bytes) {
        Ok((rows, [])) => Some(rows),
        _ => None,
    }
}

fn unfit(table: &Table, why: &str) -> WriterError {
    WriterError::Encode { table: table.name(), source: why.into() }
}
