//! Bodies of release 0.1.0, which are Arrow record batches, converted to protobuf.
//!
//! Such a body can wait in the state of a processor that is upgraded. Its rows keep their stream and their offset, so
//! that rows which BigQuery took before the upgrade are recognised. Only what release 0.1.0 wrote is understood: one
//! encapsulated message with an uncompressed batch of text, integer, float and time columns. The layout is described in
//! Arrow's columnar format and in FlatBuffers' internals.

use event::EventTime;
use flow::{
    append::{Append, Body, Table},
    row::{Cell, Column, Kind},
};

use super::rows::{self, Encoder};
use crate::{
    WriterError,
    schema::{self, Target},
};

/// The first bytes of an encapsulated message. No protobuf of ours begins with them.
const CONTINUATION: [u8; 4] = [0xFF; 4];
/// `MessageHeader.RecordBatch`.
const RECORD_BATCH: u8 = 3;
/// The columns of `<flow>_progress` in release 0.1.0.
const PROGRESS: [(&str, Kind); 11] = [
    ("at", Kind::Time),
    ("watermark", Kind::Time),
    ("counted", Kind::Integer),
    ("duplicate", Kind::Integer),
    ("late", Kind::Integer),
    ("rejected", Kind::Integer),
    ("ignored", Kind::Integer),
    ("unmatched", Kind::Integer),
    ("lost", Kind::Integer),
    ("absent", Kind::Integer),
    ("pending", Kind::Integer),
];

/// The columns of `dead_letters` in release 0.1.0.
const DEAD_LETTERS: [(&str, Kind); 7] = [
    ("topic", Kind::Text),
    ("partition", Kind::Integer),
    ("offset", Kind::Integer),
    ("stage", Kind::Text),
    ("reason", Kind::Text),
    ("pointer", Kind::Text),
    ("seen_at", Kind::Time),
];

/// Whether a body is from release 0.1.0.
pub(super) fn is_arrow(body: &[u8]) -> bool {
    body.starts_with(&CONTINUATION)
}

/// The same rows as protobuf.
pub(super) fn convert(append: &Append, target: &Target<'_>) -> Result<Body, WriterError> {
    let named = |(name, kind): (&str, Kind)| Column { name: name.to_owned(), kind };
    let columns: Vec<Column> = match (&append.table, target.flow) {
        (Table::Flow(_), Some(flow)) => schema::release_0_1_0(flow).all_columns(),
        (Table::Progress(_), _) => PROGRESS.map(named).into(),
        _ => DEAD_LETTERS.map(named).into(),
    };
    let batch = Batch::read(&append.body, &columns).filter(|batch| batch.rows == append.rows as usize);
    let batch = batch.ok_or_else(|| rows::malformed(append))?;
    let mut encoder = Encoder::default();
    for row in 0..batch.rows {
        for column in &batch.columns {
            encoder.add(column.cell(row).ok_or_else(|| rows::malformed(append))?);
        }
        encoder.end_row(&columns);
    }
    Ok(encoder.body(&columns))
}

/// A record batch.
struct Batch<'a> {
    rows: usize,
    columns: Vec<Array<'a>>,
}

/// The buffers of a column.
struct Array<'a> {
    kind: Kind,
    /// A bit for each row that has a value; empty if all have.
    validity: &'a [u8],
    /// Values of eight bytes, or the offsets of texts, four bytes each and one more than there are rows.
    values: &'a [u8],
    /// The texts.
    text: &'a [u8],
}

impl<'a> Batch<'a> {
    fn read(message: &'a [u8], columns: &[Column]) -> Option<Self> {
        let rest = message.strip_prefix(&CONTINUATION)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (metadata, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let message = Flat::root(metadata)?;
        if message.scalar::<1>(1)? != [RECORD_BATCH] {
            return None;
        }
        let batch = message.table(2)?;
        let rows = usize::try_from(i64::from_le_bytes(batch.scalar(0)?)).ok()?;
        let places = batch.vector(2, 16)?;
        let mut buffers = places.chunks_exact(16).map(|place| {
            let number = |at: usize| usize::try_from(u64::from_le_bytes(*place[at..].first_chunk()?)).ok();
            let (start, length) = (number(0)?, number(8)?);
            body.get(start..start.checked_add(length)?)
        });
        let mut next = || buffers.next().flatten();
        let mut arrays = Vec::with_capacity(columns.len());
        for column in columns {
            let (validity, values) = (next()?, next()?);
            let text = if column.kind == Kind::Text { next()? } else { &[] };
            arrays.push(Array { kind: column.kind, validity, values, text });
        }
        next().is_none().then_some(Self { rows, columns: arrays })
    }
}

impl Array<'_> {
    fn cell(&self, row: usize) -> Option<Cell<'_>> {
        if !self.validity.is_empty() && self.validity.get(row / 8)? >> (row % 8) & 1 == 0 {
            return Some(Cell::Null);
        }
        let eight = || self.values.get(row.checked_mul(8)?..)?.first_chunk::<8>();
        Some(match self.kind {
            Kind::Text => {
                let offset = |row: usize| {
                    let offset = self.values.get(row.checked_mul(4)?..)?.first_chunk::<4>()?;
                    usize::try_from(i32::from_le_bytes(*offset)).ok()
                };
                let text = self.text.get(offset(row)?..offset(row + 1)?)?;
                Cell::Text(std::str::from_utf8(text).ok()?)
            }
            Kind::Integer => Cell::Integer(i64::from_le_bytes(*eight()?)),
            Kind::Real => Cell::Real(f64::from_le_bytes(*eight()?)),
            Kind::Time => Cell::Time(EventTime(i64::from_le_bytes(*eight()?).div_euclid(1_000))),
            // No table of that release had such columns.
            Kind::Decimal | Kind::Bytes => return None,
        })
    }
}

/// A table of a flatbuffer.
struct Flat<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Flat<'a> {
    fn root(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, at: u32::from_le_bytes(*bytes.first_chunk()?) as usize })
    }

    /// Where a field is; `None` if it has its default.
    fn field(&self, number: usize) -> Option<usize> {
        let back = i32::from_le_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        let vtable = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let short = |at: usize| Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize);
        let entry = 4 + 2 * number;
        if entry + 2 > short(vtable)? {
            return None;
        }
        let offset = short(vtable + entry)?;
        (offset > 0).then_some(self.at + offset)
    }

    fn scalar<const N: usize>(&self, number: usize) -> Option<[u8; N]> {
        self.bytes.get(self.field(number)?..)?.first_chunk().copied()
    }

    fn pointed(&self, number: usize) -> Option<usize> {
        let at = self.field(number)?;
        at.checked_add(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize)
    }

    fn table(&self, number: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes, at: self.pointed(number)? })
    }

    /// The elements of a vector of structs.
    fn vector(&self, number: usize, size: usize) -> Option<&'a [u8]> {
        let at = self.pointed(number)?;
        let count = u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize;
        self.bytes.get(at + 4..)?.get(..count.checked_mul(size)?)
    }
}

#[cfg(test)]
mod tests {
    use event::{Ledger, ledger::Outcome};
    use flow::{
        append::Rows,
        row::{DeadLetterRow, Pane, ProgressRow, Row},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{
        fixtures::{self, TEN_PAST},
        schema::Tables,
    };

    fn tables() -> Tables {
        Tables::try_new(&[fixtures::ctr(true)]).expect("the names are good")
    }

    fn flow() -> Table {
        Table::Flow("box_ctr".into())
    }

    fn panes() -> Vec<Row> {
        let page = |n: u64| [None, Some(""), Some("/a"), Some("\u{1F600}\n")][n as usize % 4];
        (0..11)
            .map(|n| Row {
                key: [page(n).map(Into::into), (n % 2 == 0).then(|| "top".into())].into(),
                values: fixtures::counts([n, n / 2, n / 4]),
                pane: Pane::Late,
                pane_index: n as u32,
                watermark: if n == 0 { EventTime::MIN } else { EventTime::MAX },
                ..fixtures::row()
            })
            .collect()
    }

    fn append(table: Table, rows: u32, body: &[u8]) -> Append {
        Append { table, stream: "s".to_owned(), offset: 0, rows, body: body.into() }
    }

    /// A body that release 0.1.0 wrote has the rows that it had.
    fn check(table: &Table, written: &[u8], rows: Rows<'_>) {
        let tables = tables();
        let mut target = tables.target(table).expect("the table is known");
        if matches!(table, Table::Progress(_)) {
            // Release 0.1.0 did not have the outcomes after these.
            target.columns.truncate(PROGRESS.len());
        }
        let expected = rows::encode(&target, rows).expect("the rows fit").remove(0);
        assert!(is_arrow(written) && !is_arrow(&expected.bytes));
        let old = append(table.clone(), expected.rows, written);
        assert_eq!(convert(&old, &target).expect("it is a record batch"), expected, "{table:?}");
        let (from_old, from_new) = (
            rows::without(&old, &target, &[0]).expect("it is a record batch"),
            rows::without(&append(table.clone(), expected.rows, &expected.bytes), &target, &[0])
                .expect("our bytes"),
        );
        assert_eq!(from_old, from_new);
        let more = Append { rows: old.rows + 1, ..old };
        assert!(matches!(convert(&more, &target), Err(WriterError::Append { .. })));
    }

    #[test]
    fn bodies_of_release_0_1_0_are_converted() {
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Counted, 900);
        ledger.add(Outcome::Pending, 7);
        let line = ProgressRow { at: TEN_PAST, watermark: EventTime::MIN, ledger };
        let letter = DeadLetterRow {
            topic: "events".into(),
            partition: -1,
            offset: 42,
            stage: "writer".into(),
            reason: "too-large".to_owned(),
            pointer: None,
            seen_at: TEN_PAST,
        };
        check(&flow(), include_bytes!("../../../tests/data/panes.arrow"), Rows::Panes(&panes()));
        check(
            &Table::Progress("box_ctr".into()),
            include_bytes!("../../../tests/data/progress.arrow"),
            Rows::Progress(&[line]),
        );
        check(
            &Table::DeadLetters,
            include_bytes!("../../../tests/data/dead_letters.arrow"),
            Rows::DeadLetters(&[letter]),
        );
    }

    proptest! {
        #[test]
        fn altered_bodies_are_errors_or_rows(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let written = include_bytes!("../../../tests/data/panes.arrow");
            let mut altered = written.to_vec();
            altered[at.index(written.len())] = byte;
            altered.truncate(cut.index(written.len() * 2));
            let table = flow();
            let tables = tables();
            let target = tables.target(&table).expect("the table is known");
            // It does not panic, whatever the bytes are.
            let _ = convert(&append(table.clone(), 11, &altered), &target);
        }
    }
}
