//! Rows as the bytes of an append to SQLite: a byte of version, then postcard: the names of the columns, and the values of
//! each row in their order.
//!
//! Checkpoints contain these bytes, so a later version must read them. They name their columns because a body may wait in a
//! state while measures of its flow are added or removed. A body of release 0.1.0 is version 1: see [`super::legacy`].

use std::{borrow::Cow, ops::Range};

use event::EventTime;
use flow::{
    append::{Append, Body, Rows},
    number::Total,
    row::Cell,
};
use serde::{Deserialize, Serialize};

use super::legacy::{self, Legacy};
use crate::{
    WriterError, requests,
    schema::{self, Target},
};

const VERSION: u8 = 2;

/// One value, as it is saved.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Saved<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Decimal(Total),
    Real(f64),
    Time(EventTime),
    Bytes(&'a [u8]),
}

/// The rows of one append.
pub(crate) struct Decoded<'a> {
    /// The columns that the rows have.
    pub(crate) columns: Vec<&'a str>,
    cells: Vec<Cell<'a>>,
}

impl<'a> Decoded<'a> {
    /// Reads the bytes that [`current`] returned. They must have as many rows as the append.
    pub(crate) fn read(append: &Append, body: &'a [u8]) -> Result<Self, WriterError> {
        let decoded = body.split_first().and_then(|(_, rest)| Self::parse(rest));
        let decoded = decoded.ok_or_else(|| wrong(append, "cannot decode the rows"))?;
        if !decoded.columns.contains(&schema::partitioned_by(&append.table)) {
            return Err(wrong(append, "the rows are of another table"));
        }
        if decoded.rows().len() != append.rows as usize {
            return Err(wrong(append, "the number of rows does not match"));
        }
        Ok(decoded)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (columns, mut rest): (Vec<&str>, _) = postcard::take_from_bytes(bytes).ok()?;
        let mut cells = Vec::new();
        while !rest.is_empty() {
            let (saved, after) = postcard::take_from_bytes(rest).ok()?;
            cells.push(cell(saved));
            rest = after;
        }
        (!columns.is_empty() && cells.len() % columns.len() == 0).then_some(Self { columns, cells })
    }

    /// The rows, each with a value for each column.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[Cell<'a>]> {
        self.cells.chunks_exact(self.columns.len())
    }
}

pub(crate) fn encode(target: &Target<'_>, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
    target.expect(rows)?;
    let columns: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
    let cuts = requests::cuts(&requests::sizes(rows), columns.len());
    let mut bodies = Vec::with_capacity(cuts.len());
    let mut start = 0;
    for end in cuts {
        let encoder = Encoder::new(target.name(), &columns)?;
        bodies.push(encoder.rows(start..end, |index, visit| target.cells(rows, index, visit))?);
        start = end;
    }
    Ok(bodies)
}

/// The append without these rows.
pub(crate) fn without(append: &Append, target: &Target<'_>, refused: &[u32]) -> Result<Body, WriterError> {
    let body = current(append, target)?;
    let decoded = Decoded::read(append, &body)?;
    let mut kept = Encoder::new(target.name(), &decoded.columns)?;
    for (index, row) in (0..).zip(decoded.rows()) {
        if !refused.contains(&index) {
            row.iter().try_for_each(|cell| kept.add(*cell))?;
            kept.rows += 1;
        }
    }
    Ok(kept.body())
}

/// The body of an append in the current version.
pub(crate) fn current<'a>(append: &'a Append, target: &Target<'_>) -> Result<Cow<'a, [u8]>, WriterError> {
    match append.body.split_first() {
        Some((&VERSION, _)) => Ok(Cow::Borrowed(&append.body)),
        Some((&legacy::VERSION, bytes)) => {
            let rows = Legacy::read(bytes, target);
            let rows = rows.ok_or_else(|| wrong(append, "cannot decode the rows"))?;
            let columns = rows.columns();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let body = Encoder::new(target.name(), &columns)?
                .rows(0..rows.len(), |index, visit| rows.cells(index, visit))?;
            Ok(Cow::Owned(body.bytes))
        }
        _ => Err(wrong(append, "the rows have an unknown encoding")),
    }
}

/// Saves rows value by value.
struct Encoder {
    table: String,
    bytes: Vec<u8>,
    rows: u32,
}

impl Encoder {
    fn new(table: String, columns: &[&str]) -> Result<Self, WriterError> {
        let mut encoder = Self { table, bytes: vec![VERSION], rows: 0 };
        encoder.put(columns)?;
        Ok(encoder)
    }

    /// Adds the rows of a range and returns the body.
    fn rows<'c>(
        mut self,
        range: Range<usize>,
        cells: impl Fn(usize, &mut dyn FnMut(Cell<'c>)),
    ) -> Result<Body, WriterError> {
        for index in range {
            let mut added = Ok(());
            cells(index, &mut |cell| {
                if added.is_ok() {
                    added = self.add(cell);
                }
            });
            added?;
            self.rows += 1;
        }
        Ok(self.body())
    }

    fn add(&mut self, cell: Cell<'_>) -> Result<(), WriterError> {
        self.put(&match cell {
            Cell::Null => Saved::Null,
            Cell::Text(text) => Saved::Text(text),
            Cell::Integer(number) => Saved::Integer(number),
            Cell::Decimal(total) => Saved::Decimal(total),
            Cell::Real(number) => Saved::Real(number),
            Cell::Time(time) => Saved::Time(time),
            Cell::Bytes(bytes) => Saved::Bytes(bytes),
        })
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriterError> {
        self.bytes = postcard::to_extend(value, std::mem::take(&mut self.bytes))
            .map_err(|source| WriterError::Encode { table: self.table.clone(), source: source.into() })?;
        Ok(())
    }

    fn body(self) -> Body {
        Body { rows: self.rows, bytes: self.bytes }
    }
}

fn cell(saved: Saved<'_>) -> Cell<'_> {
    match saved {
        Saved::Null => Cell::Null,
        Saved::Text(text) => Cell::Text(text),
        Saved::Integer(number) => Cell::Integer(number),
        Saved::Decimal(total) => Cell::Decimal(total),
        Saved::Real(number) => Cell::Real(number),
        Saved::Time(time) => Cell::Time(time),
        Saved::Bytes(bytes) => Cell::Bytes(bytes),
    }
}

fn wrong(append: &Append, problem: &'static str) -> WriterError {
    WriterError::Append { table: append.table.name(), offset: append.offset, problem }
}
