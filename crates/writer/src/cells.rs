//! A row as the values of its columns, in the order of [`crate::schema`], and back from what a database gives.
//!
//! Not here: how a database or a file spells a value.

use event::{
    Ctr, CtrRow, EventTime, Pane, Window,
    ledger::{Ledger, Outcome},
    row::{DeadLetterRow, ProgressRow},
};

use crate::{WriterError, schema::Column, stamp};

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Real(f64),
    Time(EventTime),
}

/// One value as a database gave it. Times come as milliseconds or as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
}

/// Visits the values of a pane.
pub(crate) fn pane<'a>(row: &'a CtrRow, join: bool, visit: &mut impl FnMut(Cell<'a>)) {
    key(row, visit);
    window(row.window, visit);
    counts(row.ctr, join, visit);
    firing(row, visit);
}

/// The `by` columns of a pane.
pub(crate) fn key<'a>(row: &'a CtrRow, visit: &mut dyn FnMut(Cell<'a>)) {
    for value in &row.key {
        visit(value.map_or(Cell::Null, Cell::Text));
    }
}

/// The window's columns, which stand behind the key.
pub(crate) fn window<'a>(window: Window, visit: &mut dyn FnMut(Cell<'a>)) {
    visit(Cell::Time(window.start));
    visit(Cell::Time(window.end));
}

/// What was counted, behind the window.
pub(crate) fn counts<'a>(ctr: Ctr, join: bool, visit: &mut dyn FnMut(Cell<'a>)) {
    let interval = ctr.interval();
    visit(integer(ctr.views));
    visit(integer(ctr.clicks));
    visit(real(ctr.rate()));
    visit(real(interval.map(|(low, _)| low)));
    visit(real(interval.map(|(_, high)| high)));
    if join {
        visit(integer(ctr.attributed));
        visit(real(ctr.attributed_rate()));
    }
}

/// When and why the pane fired: the last columns.
pub(crate) fn firing<'a>(row: &CtrRow, visit: &mut dyn FnMut(Cell<'a>)) {
    visit(Cell::Text(row.pane.as_str()));
    visit(Cell::Integer(row.pane_index.into()));
    visit(Cell::Time(row.watermark));
    visit(Cell::Time(row.emitted_at));
}

/// Visits the values of a line of progress.
pub(crate) fn progress<'a>(row: &'a ProgressRow, visit: &mut impl FnMut(Cell<'a>)) {
    visit(Cell::Time(row.at));
    visit(Cell::Time(row.watermark));
    for (_, offsets) in row.ledger.iter() {
        visit(integer(offsets));
    }
}

/// Visits the values of a dead letter.
pub(crate) fn dead_letter<'a>(row: &'a DeadLetterRow, visit: &mut impl FnMut(Cell<'a>)) {
    visit(Cell::Text(&row.topic));
    visit(Cell::Integer(row.partition.into()));
    visit(integer(row.offset));
    visit(Cell::Text(&row.stage));
    visit(Cell::Text(&row.reason));
    visit(row.pointer.as_deref().map_or(Cell::Null, Cell::Text));
    visit(Cell::Time(row.seen_at));
}

/// Databases count up to 2^63; a count beyond stands at that.
fn integer<'a>(value: u64) -> Cell<'a> {
    Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn real<'a>(value: Option<f64>) -> Cell<'a> {
    value.map_or(Cell::Null, Cell::Real)
}

/// Values of one row by the name of their column.
pub(crate) struct Values<'a> {
    pub(crate) table: &'a str,
    pub(crate) columns: &'a [Column],
    pub(crate) values: Vec<Value>,
}

impl Values<'_> {
    /// The pane in these values, whose first `by` columns are the key.
    pub(crate) fn pane(&self, by: usize) -> Result<CtrRow, WriterError> {
        let key = (0..by).map(|index| match &self.values[index] {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.as_str())),
            Value::Integer(_) | Value::Real(_) => Err(self.wrong(&self.columns[index].name)),
        });
        Ok(CtrRow {
            key: key.collect::<Result<_, _>>()?,
            window: Window { start: self.time("window_start")?, end: self.time("window_end")? },
            ctr: Ctr {
                views: self.count("views")?,
                clicks: self.count("clicks")?,
                attributed: if self.has("attributed_clicks") { self.count("attributed_clicks")? } else { 0 },
            },
            pane: self.which()?,
            pane_index: u32::try_from(self.count("pane_index")?).map_err(|_| self.wrong("pane_index"))?,
            watermark: self.time("watermark")?,
            emitted_at: self.time("emitted_at")?,
        })
    }

    /// The line of progress in these values.
    pub(crate) fn progress(&self) -> Result<ProgressRow, WriterError> {
        let mut ledger = Ledger::default();
        for outcome in Outcome::ALL {
            ledger.add(outcome, self.count(outcome.as_str())?);
        }
        Ok(ProgressRow { at: self.time("at")?, watermark: self.time("watermark")?, ledger })
    }

    /// A time, however it came.
    pub(crate) fn time(&self, column: &str) -> Result<EventTime, WriterError> {
        match self.get(column) {
            Some(Value::Integer(millis)) => Ok(stamp::from_millis(*millis)),
            Some(Value::Text(text)) => stamp::parse(text).ok_or_else(|| self.wrong(column)),
            _ => Err(self.wrong(column)),
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, column: &str) -> Result<u64, WriterError> {
        match self.get(column) {
            Some(Value::Integer(value)) => u64::try_from(*value).map_err(|_| self.wrong(column)),
            _ => Err(self.wrong(column)),
        }
    }

    fn which(&self) -> Result<Pane, WriterError> {
        let panes = [Pane::Early, Pane::OnTime, Pane::Late];
        let Some(Value::Text(text)) = self.get("pane") else { return Err(self.wrong("pane")) };
        panes.into_iter().find(|pane| pane.as_str() == text).ok_or_else(|| self.wrong("pane"))
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c.name == column)
    }

    fn get(&self, column: &str) -> Option<&Value> {
        self.columns.iter().position(|c| c.name == column).and_then(|index| self.values.get(index))
    }

    fn wrong(&self, column: &str) -> WriterError {
        WriterError::Value { table: self.table.to_owned(), column: column.to_owned() }
    }
}
