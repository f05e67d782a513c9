//! Bodies of version 1, which release 0.1.0 wrote: rows in postcard, without the names of their columns.
//!
//! Such a body can wait in the state of a processor that is upgraded. The types here are those of that release and do not
//! change.

use event::{EventTime, Key};
use flow::{
    append::Table,
    row::{self, Cell, FlowTable, Pane, Row, Value},
    window::Window,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::schema::{self, Target};

pub(super) const VERSION: u8 = 1;

/// The columns of `<flow>_progress`.
const PROGRESS: [&str; 11] = [
    "at",
    "watermark",
    "counted",
    "duplicate",
    "late",
    "rejected",
    "ignored",
    "unmatched",
    "lost",
    "absent",
    "pending",
];
/// The columns of `dead_letters`.
const DEAD_LETTERS: [&str; 7] = ["topic", "partition", "offset", "stage", "reason", "pointer", "seen_at"];

/// The rows of a body.
pub(super) enum Legacy {
    /// With the table that release 0.1.0 had for the flow.
    Panes(FlowTable, Vec<Row>),
    Progress(Vec<ProgressRow>),
    DeadLetters(Vec<DeadLetterRow>),
}

/// A row of a flow.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct CtrRow {
    key: Key,
    window: Window,
    ctr: Ctr,
    pane: Pane,
    pane_index: u32,
    watermark: EventTime,
    emitted_at: EventTime,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Ctr {
    views: u64,
    clicks: u64,
    attributed: u64,
}

/// A line of progress, with an outcome for each column after the second.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ProgressRow {
    at: EventTime,
    watermark: EventTime,
    ledger: [u64; 9],
}

/// A dead letter.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct DeadLetterRow {
    topic: String,
    partition: i32,
    offset: u64,
    stage: String,
    reason: String,
    pointer: Option<String>,
    seen_at: EventTime,
}

impl Legacy {
    /// Reads what follows the byte of version. `None` if it cannot be read.
    pub(super) fn read(bytes: &[u8], target: &Target<'_>) -> Option<Self> {
        match (target.table, target.flow) {
            (Table::Flow(_), Some(flow)) => {
                let rows = list::<CtrRow>(bytes)?.into_iter().map(Row::from).collect();
                Some(Self::Panes(schema::release_0_1_0(flow), rows))
            }
            (Table::Flow(_), None) => None,
            (Table::Progress(_), _) => list(bytes).map(Self::Progress),
            (Table::DeadLetters, _) => list(bytes).map(Self::DeadLetters),
        }
    }

    pub(super) fn columns(&self) -> Vec<String> {
        match self {
            Self::Panes(table, _) => table.all_columns().into_iter().map(|column| column.name).collect(),
            Self::Progress(_) => PROGRESS.map(str::to_owned).into(),
            Self::DeadLetters(_) => DEAD_LETTERS.map(str::to_owned).into(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Panes(_, rows) => rows.len(),
            Self::Progress(rows) => rows.len(),
            Self::DeadLetters(rows) => rows.len(),
        }
    }

    /// Visits the values of a row.
    pub(super) fn cells<'a>(&'a self, index: usize, visit: &mut dyn FnMut(Cell<'a>)) {
        let integer = |number| Cell::Integer(row::integer(number));
        match self {
            Self::Panes(table, rows) => rows[index].cells(table, visit),
            Self::Progress(rows) => {
                let row = &rows[index];
                visit(Cell::Time(row.at));
                visit(Cell::Time(row.watermark));
                row.ledger.iter().for_each(|offsets| visit(integer(*offsets)));
            }
            Self::DeadLetters(rows) => {
                let row = &rows[index];
                visit(Cell::Text(&row.topic));
                visit(Cell::Integer(row.partition.into()));
                visit(integer(row.offset));
                visit(Cell::Text(&row.stage));
                visit(Cell::Text(&row.reason));
                visit(row.pointer.as_deref().map_or(Cell::Null, Cell::Text));
                visit(Cell::Time(row.seen_at));
            }
        }
    }
}

impl From<CtrRow> for Row {
    fn from(row: CtrRow) -> Self {
        let CtrRow { key, window, ctr, pane, pane_index, watermark, emitted_at } = row;
        let values = [ctr.views, ctr.clicks, ctr.attributed].map(Value::Count).into_iter().collect();
        let replaced = row::Replaced::default();
        Self { key, window, values, pane, pane_index, watermark, emitted_at, replaced }
    }
}

fn list<T: DeserializeOwned>(bytes: &[u8]) -> Option<Vec<T>> {
    match postcard::take_from_bytes(bytes) {
        Ok((rows, [])) => Some(rows),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use event::{Ledger, ledger::Outcome};
    use flow::append::{Append, Rows};

    use super::*;
    use crate::{WriterError, fixtures, io::sqlite::body, schema::Tables};

    fn version_1<T: serde::Serialize>(rows: &[T]) -> Vec<u8> {
        postcard::to_extend(rows, vec![VERSION]).expect("rows are saved")
    }

    fn append(table: &Table, rows: u32, body: &[u8]) -> Append {
        Append { table: table.clone(), stream: "s".to_owned(), offset: 0, rows, body: body.into() }
    }

    /// A body of release 0.1.0 has the rows that it had.
    fn check(flow: &FlowTable, table: &Table, written: &[u8], rows: Rows<'_>) {
        let tables = Tables::try_new(std::slice::from_ref(flow)).expect("the names are good");
        let mut target = tables.target(table).expect("the table is known");
        if matches!(table, Table::Progress(_)) {
            // Release 0.1.0 did not have the outcomes after these.
            target.columns.truncate(PROGRESS.len());
        }
        let expected = body::encode(&target, rows).expect("rows encode").remove(0);
        let old = append(table, expected.rows, written);
        assert_eq!(body::current(&old, &target).expect("it reads"), expected.bytes, "{table:?}");
        let new = append(table, expected.rows, &expected.bytes);
        let without = |append: &Append| body::without(append, &target, &[0]).expect("it reads");
        assert_eq!(without(&old), without(&new));
        let short = append(table, expected.rows, &written[..written.len() - 1]);
        assert!(matches!(body::current(&short, &target), Err(WriterError::Append { .. })));
    }

    #[test]
    fn bodies_of_release_0_1_0_are_converted() {
        let new = [fixtures::row(), Row { watermark: EventTime::MIN, pane: Pane::Late, ..fixtures::row() }];
        let old = new.clone().map(|row| CtrRow {
            key: row.key,
            window: row.window,
            ctr: Ctr { views: 4, clicks: 1, attributed: 2 },
            pane: row.pane,
            pane_index: row.pane_index,
            watermark: row.watermark,
            emitted_at: row.emitted_at,
        });
        let table = Table::Flow("box_ctr".into());
        check(&fixtures::ctr(true), &table, &version_1(&old), Rows::Panes(&new));
        check(&fixtures::ctr(false), &table, &version_1(&old), Rows::Panes(&new));
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Counted, 900);
        ledger.add(Outcome::Pending, 7);
        let line = row::ProgressRow { at: EventTime(-5), watermark: EventTime::MIN, ledger };
        let old =
            ProgressRow { at: line.at, watermark: line.watermark, ledger: [900, 0, 0, 0, 0, 0, 0, 0, 7] };
        let table = Table::Progress("box_ctr".into());
        check(&fixtures::ctr(true), &table, &version_1(&[old]), Rows::Progress(&[line]));
        let letter = row::DeadLetterRow {
            topic: "events".into(),
            partition: -1,
            offset: 42,
            stage: "writer".into(),
            reason: "too-large".to_owned(),
            pointer: None,
            seen_at: fixtures::TEN_PAST,
        };
        let old = DeadLetterRow {
            topic: "events".to_owned(),
            partition: -1,
            offset: 42,
            stage: "writer".to_owned(),
            reason: "too-large".to_owned(),
            pointer: None,
            seen_at: fixtures::TEN_PAST,
        };
        check(&fixtures::ctr(true), &Table::DeadLetters, &version_1(&[old]), Rows::DeadLetters(&[letter]));
    }

    /// The bytes themselves, so that a change of a type that is used here shows.
    #[test]
    fn version_1_has_these_bytes() {
        let row = CtrRow {
            key: [Some("/a".into()), None].into(),
            window: Window { start: EventTime(0), end: EventTime(60) },
            ctr: Ctr { views: 300, clicks: 1, attributed: 2 },
            pane: Pane::Late,
            pane_index: 1,
            watermark: EventTime(-1),
            emitted_at: EventTime(64),
        };
        let bytes = [1, 1, 2, 1, 2, b'/', b'a', 0, 0, 120, 0xAC, 2, 1, 2, 2, 1, 1, 0x80, 1];
        assert_eq!(version_1(&[row]), bytes);
    }
}
