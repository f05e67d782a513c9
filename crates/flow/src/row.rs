//! The rows that Aqueduct writes, and the tables that hold them, as they follow from the flows.

use std::{fmt, sync::Arc};

use event::{EventTime, Key, Ledger, Millis};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    measure::Estimate,
    number::{Amount, Total},
    ratio,
    window::Window,
};

/// Which firing of a window a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pane {
    /// Before the watermark passed the window's end.
    Early,
    /// When it passed; at most once a window and key.
    OnTime,
    /// Because of an event that arrived afterwards.
    Late,
}

/// The value of a stored measure in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Not known: no event had one, or the measure was added after the window had begun.
    Null,
    /// A number of events.
    Count(u64),
    /// An exact decimal.
    Number(Box<Total>),
    /// An estimated number of distinct values.
    Distinct(Box<Estimate>),
}

/// The stored measures of a row, in the order of the flow. Ratios follow from them. Those of views and clicks are in the row
/// itself: a window may fire millions of rows at once, and their size is what that costs.
pub type Values = SmallVec<[Value; 2]>;

/// One flow, window, key and pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The `by` columns.
    pub key: Key,
    /// The window.
    pub window: Window,
    /// The stored measures.
    pub values: Values,
    /// Which firing.
    pub pane: Pane,
    /// Counts the firings of this window and key from 0.
    pub pane_index: u32,
    /// The flow's watermark when it fired.
    pub watermark: EventTime,
    /// When it fired, by the processor's clock.
    pub emitted_at: EventTime,
    /// The windows of earlier panes that it replaces, beside its own.
    pub replaced: Replaced,
}

/// Windows of the same key that became part of a row's window and have fired panes: those of merged sessions. Most rows have
/// none, so a row holds only a pointer.
///
/// ```
/// use event::EventTime;
/// use flow::{row::Replaced, window::Window};
///
/// let part = Window { start: EventTime(0), end: EventTime(10) };
/// assert_eq!(Replaced::from(vec![part]).windows(), [part]);
/// assert_eq!(Replaced::default().windows(), []);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "a row is copied by the million, and most have no such windows")]
pub struct Replaced(Option<Box<Vec<Window>>>);

impl Replaced {
    /// The windows; none of them is the row's own.
    pub fn windows(&self) -> &[Window] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl From<Vec<Window>> for Replaced {
    fn from(windows: Vec<Window>) -> Self {
        Self((!windows.is_empty()).then(|| Box::new(windows)))
    }
}

/// The table of one flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowTable {
    /// The flow's name; also the table's.
    pub flow: Arc<str>,
    /// Names of the `by` columns.
    pub columns: Vec<String>,
    /// The columns of the measures, in order.
    pub measures: Arc<[MeasureColumns]>,
    /// Whether windows of one key may replace each other by merging: sessions do.
    pub merging: bool,
    /// This long after its end a window is final.
    pub allowed_lateness: Millis,
}

/// The columns of one measure.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureColumns {
    /// The measure's name, and that of its first column.
    pub name: String,
    /// What is in them.
    pub shows: Shows,
}

/// How the columns of a measure follow from the stored values of a row. The numbers are places in [`Values`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shows {
    /// A number of events.
    Count(usize),
    /// A sum, or a smallest or largest value.
    Number(usize),
    /// An estimate, and `<name>_sketch` if configured.
    Distinct {
        /// Which value.
        value: usize,
        /// Whether there is a second column with the sketch.
        sketch: bool,
    },
    /// A ratio; `<name>_low` and `<name>_high` where both are counts.
    Ratio {
        /// The numerator.
        of: usize,
        /// The denominator.
        over: usize,
        /// The factor.
        per: f64,
        /// Whether there are two more columns with the interval.
        interval: bool,
    },
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// 64 bits, with a sign.
    Integer,
    /// An exact decimal with nine digits after the point.
    Decimal,
    /// A double.
    Real,
    /// A point in time.
    Time,
    /// Bytes.
    Bytes,
}

/// A column; any may be NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// Text.
    Text(&'a str),
    /// An integer.
    Integer(i64),
    /// An exact decimal.
    Decimal(Total),
    /// A double.
    Real(f64),
    /// A time.
    Time(EventTime),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A line of `<flow>_progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRow {
    /// When it was written, by the processor's clock.
    pub at: EventTime,
    /// The flow's watermark.
    pub watermark: EventTime,
    /// The outcome of every offset so far.
    pub ledger: Ledger,
}

/// A line of `dead_letters`: the position of a refused record and the reason, never its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// The Kafka topic; for a message without a position, the Pub/Sub subscription.
    pub topic: Arc<str>,
    /// The partition; -1 without a position.
    pub partition: i32,
    /// The offset; the message's publish time in milliseconds without a position.
    pub offset: u64,
    /// `connector`, `processor` or `writer`.
    pub stage: Arc<str>,
    /// A reason code.
    pub reason: String,
    /// The declared pointer that it is about.
    pub pointer: Option<String>,
    /// When it was seen, by the processor's clock.
    pub seen_at: EventTime,
}

/// The table of refused records, one for all flows.
pub const DEAD_LETTERS: &str = "dead_letters";

impl Pane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Early, Self::OnTime, Self::Late];

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

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        Self::Number(Box::new(amount.into()))
    }
}

impl Value {
    /// The value as a double; `None` for NULL.
    pub fn to_f64(&self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Count(number) => Some(*number as f64),
            Self::Number(total) => Some(total.to_f64()),
            Self::Distinct(estimate) => Some(estimate.number as f64),
        }
    }

    /// Whether it is 0 or NULL.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Count(number) => *number == 0,
            Self::Number(total) => **total == Total::default(),
            Self::Distinct(estimate) => estimate.number == 0,
        }
    }

    /// A number of events, or of distinct values.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Count(number) => Some(*number),
            Self::Distinct(estimate) => Some(estimate.number),
            Self::Null | Self::Number(_) => None,
        }
    }
}

/// How busy a row is: its first count. Rows are shown in this order.
pub fn weight(values: &[Value]) -> u64 {
    values.iter().find_map(Value::count).unwrap_or_default()
}

impl MeasureColumns {
    /// The names of the columns that are shown to humans and in JSON: sketches are only in the table.
    pub fn shown(&self) -> Vec<String> {
        let columns = self.columns().into_iter();
        columns.filter(|column| column.kind != Kind::Bytes).map(|column| column.name).collect()
    }

    /// The columns, in order.
    pub fn columns(&self) -> Vec<Column> {
        let named = |suffix: &str, kind| Column { name: format!("{}{suffix}", self.name), kind };
        match self.shows {
            Shows::Count(_) => vec![named("", Kind::Integer)],
            Shows::Number(_) => vec![named("", Kind::Decimal)],
            Shows::Distinct { sketch: false, .. } => vec![named("", Kind::Integer)],
            Shows::Distinct { sketch: true, .. } => {
                vec![named("", Kind::Integer), named("_sketch", Kind::Bytes)]
            }
            Shows::Ratio { interval: false, .. } => vec![named("", Kind::Real)],
            Shows::Ratio { interval: true, .. } => {
                vec![named("", Kind::Real), named("_low", Kind::Real), named("_high", Kind::Real)]
            }
        }
    }

    /// Visits the values of the columns, in order.
    pub fn cells<'a>(&self, values: &'a [Value], visit: &mut dyn FnMut(Cell<'a>)) {
        match self.shows {
            Shows::Count(value) | Shows::Number(value) => visit(cell(&values[value])),
            Shows::Distinct { value, sketch } => {
                visit(cell(&values[value]));
                if sketch {
                    visit(match &values[value] {
                        Value::Distinct(estimate) => {
                            estimate.sketch.as_deref().map_or(Cell::Null, Cell::Bytes)
                        }
                        _ => Cell::Null,
                    });
                }
            }
            Shows::Ratio { of, over, per, interval } => {
                visit(real(self.shows.rate(values)));
                if interval {
                    let known = match (&values[of], &values[over]) {
                        (Value::Count(of), Value::Count(over)) => ratio::interval(*of, *over),
                        _ => None,
                    };
                    visit(real(known.map(|(low, _)| low * per)));
                    visit(real(known.map(|(_, high)| high * per)));
                }
            }
        }
    }
}

impl Shows {
    /// The value of a ratio; `None` for every other measure.
    pub fn rate(&self, values: &[Value]) -> Option<f64> {
        let Self::Ratio { of, over, per, .. } = *self else { return None };
        ratio::rate(values[of].to_f64()?, values[over].to_f64()?).map(|rate| rate * per)
    }

    /// The interval of a ratio of counts.
    pub fn interval(&self, values: &[Value]) -> Option<(f64, f64)> {
        match *self {
            Self::Ratio { of, over, per, interval: true } => match (&values[of], &values[over]) {
                (Value::Count(of), Value::Count(over)) => {
                    ratio::interval(*of, *over).map(|(low, high)| (low * per, high * per))
                }
                _ => None,
            },
            _ => None,
        }
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

    /// All columns of the table, in order.
    pub fn all_columns(&self) -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let mut columns: Vec<Column> = self.columns.iter().map(|name| column(name, Kind::Text)).collect();
        columns.extend([column("window_start", Kind::Time), column("window_end", Kind::Time)]);
        columns.extend(self.measures.iter().flat_map(MeasureColumns::columns));
        columns.extend([
            column("pane", Kind::Text),
            column("pane_index", Kind::Integer),
            column("watermark", Kind::Time),
            column("emitted_at", Kind::Time),
        ]);
        columns
    }
}

/// A row in the parts that neighbours share.
impl Row {
    /// Visits the `by` columns.
    pub fn key_cells<'a>(&'a self, visit: &mut dyn FnMut(Cell<'a>)) {
        for value in &self.key {
            visit(value.map_or(Cell::Null, Cell::Text));
        }
    }

    /// Visits the window's columns, which follow the key.
    pub fn window_cells(&self, visit: &mut dyn FnMut(Cell<'static>)) {
        visit(Cell::Time(self.window.start));
        visit(Cell::Time(self.window.end));
    }

    /// Visits the measures, which follow the window.
    pub fn measure_cells<'a>(&'a self, table: &FlowTable, visit: &mut dyn FnMut(Cell<'a>)) {
        for measure in table.measures.iter() {
            measure.cells(&self.values, visit);
        }
    }

    /// Visits when and why the pane fired: the last columns.
    pub fn firing_cells(&self, visit: &mut dyn FnMut(Cell<'static>)) {
        visit(Cell::Text(self.pane.as_str()));
        visit(Cell::Integer(self.pane_index.into()));
        visit(Cell::Time(self.watermark));
        visit(Cell::Time(self.emitted_at));
    }

    /// Visits all columns.
    pub fn cells<'a>(&'a self, table: &FlowTable, visit: &mut dyn FnMut(Cell<'a>)) {
        self.key_cells(visit);
        self.window_cells(&mut |cell| visit(cell));
        self.measure_cells(table, visit);
        self.firing_cells(&mut |cell| visit(cell));
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Count(number) => Cell::Integer(integer(*number)),
        Value::Number(total) => Cell::Decimal(**total),
        Value::Distinct(estimate) => Cell::Integer(integer(estimate.number)),
    }
}

fn real<'a>(value: Option<f64>) -> Cell<'a> {
    value.map_or(Cell::Null, Cell::Real)
}

/// Databases count up to 2^63; a count beyond it is that.
pub fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_counts_has_an_interval() {
        let ctr = Shows::Ratio { of: 1, over: 0, per: 1.0, interval: true };
        let measure = MeasureColumns { name: "ctr".to_owned(), shows: ctr };
        let names: Vec<_> = measure.columns().into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["ctr", "ctr_low", "ctr_high"]);
        let mut cells = Vec::new();
        measure.cells(&[Value::Count(2), Value::Count(3)], &mut |cell| cells.push(cell));
        assert_eq!(cells, [Cell::Real(1.5), Cell::Null, Cell::Null], "more clicks than views");
        measure.cells(&[Value::Null, Value::Count(3)], &mut |cell| cells.push(cell));
        assert_eq!(cells[3..], [Cell::Null; 3]);
    }

    #[test]
    fn a_ratio_of_a_sum_has_a_factor() {
        let price = Amount::parse("0.3").expect("it fits");
        let values = [Value::Count(2), Value::from(price)];
        let shows = Shows::Ratio { of: 1, over: 0, per: 1_000.0, interval: false };
        assert_eq!(shows.rate(&values), Some(150.0));
    }
}
