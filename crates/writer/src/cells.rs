//! Lines of progress and dead letters as the values of their columns, and all rows back from what a database returns.

use event::{
    EventTime,
    ledger::{Ledger, Outcome},
};
use flow::{
    Window,
    measure::Estimate,
    number::Total,
    row::{self, Cell, Column, DeadLetterRow, FlowTable, Pane, ProgressRow, Replaced, Row, Shows},
};
use smallvec::smallvec;

use crate::{WriterError, stamp};

/// One value as a database returned it. Times are milliseconds or text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
    /// Bytes, which are not read back.
    Bytes,
}

/// Visits the values of a line of progress, for a table with this many columns. Outcomes that were added later come last.
pub(crate) fn progress<'a>(row: &'a ProgressRow, columns: usize, visit: &mut dyn FnMut(Cell<'a>)) {
    visit(Cell::Time(row.at));
    visit(Cell::Time(row.watermark));
    for (_, offsets) in row.ledger.iter().take(columns.saturating_sub(2)) {
        visit(integer(offsets));
    }
}

/// Visits the values of a dead letter.
pub(crate) fn dead_letter<'a>(row: &'a DeadLetterRow, visit: &mut dyn FnMut(Cell<'a>)) {
    visit(Cell::Text(&row.topic));
    visit(Cell::Integer(row.partition.into()));
    visit(integer(row.offset));
    visit(Cell::Text(&row.stage));
    visit(Cell::Text(&row.reason));
    visit(row.pointer.as_deref().map_or(Cell::Null, Cell::Text));
    visit(Cell::Time(row.seen_at));
}

fn integer<'a>(value: u64) -> Cell<'a> {
    Cell::Integer(row::integer(value))
}

/// Values of one row by the name of their column.
pub(crate) struct Values<'a> {
    pub(crate) table: &'a str,
    pub(crate) columns: &'a [Column],
    pub(crate) values: Vec<Value>,
}

impl Values<'_> {
    /// The pane in these values, whose first columns are the key. Sketches are not read back.
    pub(crate) fn pane(&self, table: &FlowTable) -> Result<Row, WriterError> {
        let key = (0..table.columns.len()).map(|index| match &self.values[index] {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.as_str())),
            Value::Integer(_) | Value::Real(_) | Value::Bytes => Err(self.wrong(&self.columns[index].name)),
        });
        Ok(Row {
            key: key.collect::<Result<_, _>>()?,
            window: Window { start: self.time("window_start")?, end: self.time("window_end")? },
            values: self.measures(table)?,
            pane: self.which()?,
            pane_index: u32::try_from(self.count("pane_index")?).map_err(|_| self.wrong("pane_index"))?,
            watermark: self.time("watermark")?,
            emitted_at: self.time("emitted_at")?,
            replaced: Replaced::default(),
        })
    }

    /// The stored measures. Ratios follow from them.
    fn measures(&self, table: &FlowTable) -> Result<row::Values, WriterError> {
        let stored = table.measures.iter().filter(|measure| !matches!(measure.shows, Shows::Ratio { .. }));
        let mut values: row::Values = smallvec![row::Value::Null; stored.clone().count()];
        for measure in stored {
            let name = measure.name.as_str();
            if self.get(name) == Some(&Value::Null) {
                continue;
            }
            match measure.shows {
                Shows::Count(value) => values[value] = row::Value::Count(self.count(name)?),
                Shows::Number(value) => values[value] = row::Value::Number(Box::new(self.number(name)?)),
                Shows::Distinct { value, .. } => {
                    let estimate = Estimate { number: self.count(name)?, sketch: None };
                    values[value] = row::Value::Distinct(Box::new(estimate));
                }
                Shows::Ratio { .. } => {}
            }
        }
        Ok(values)
    }

    /// The line of progress in these values.
    pub(crate) fn progress(&self) -> Result<ProgressRow, WriterError> {
        let mut ledger = Ledger::default();
        for outcome in Outcome::ALL {
            // NULL in lines that were written before the table had the column.
            if self.get(outcome.as_str()) != Some(&Value::Null) {
                ledger.add(outcome, self.count(outcome.as_str())?);
            }
        }
        Ok(ProgressRow { at: self.time("at")?, watermark: self.time("watermark")?, ledger })
    }

    /// An exact decimal, as an integer, a double or text.
    /// The dead letter in these values.
    pub(crate) fn dead_letter(&self) -> Result<DeadLetterRow, WriterError> {
        let text = |column: &str| match self.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => Err(self.wrong(column)),
        };
        let partition = match self.get("partition") {
            Some(Value::Integer(number)) => i32::try_from(*number).ok(),
            _ => None,
        };
        let pointer = match self.get("pointer") {
            Some(Value::Null) => None,
            _ => Some(text("pointer")?),
        };
        Ok(DeadLetterRow {
            topic: text("topic")?.into(),
            partition: partition.ok_or_else(|| self.wrong("partition"))?,
            offset: self.count("offset")?,
            stage: text("stage")?.into(),
            reason: text("reason")?,
            pointer,
            seen_at: self.time("seen_at")?,
        })
    }

    fn number(&self, column: &str) -> Result<Total, WriterError> {
        let number = match self.get(column) {
            Some(Value::Integer(number)) => Total::parse(&number.to_string()),
            // The shortest digits that read back as the same double.
            Some(Value::Real(number)) => Total::parse(&number.to_string()),
            Some(Value::Text(text)) => Total::parse(text),
            _ => None,
        };
        number.ok_or_else(|| self.wrong(column))
    }

    /// A time, as milliseconds or as text.
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
        let Some(Value::Text(text)) = self.get("pane") else { return Err(self.wrong("pane")) };
        Pane::ALL.into_iter().find(|pane| pane.as_str() == text).ok_or_else(|| self.wrong("pane"))
    }

    fn get(&self, column: &str) -> Option<&Value> {
        self.columns.iter().position(|c| c.name == column).and_then(|index| self.values.get(index))
    }

    fn wrong(&self, column: &str) -> WriterError {
        WriterError::Value { table: self.table.to_owned(), column: column.to_owned() }
    }
}
