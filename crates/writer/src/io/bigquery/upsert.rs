//! Rows as changes of a table with one row for each window and key: BigQuery's change data capture.
//!
//! A table with a primary key takes rows with the pseudocolumn `_CHANGE_TYPE` through its default stream, which may store a
//! row twice and in any order. Of the changes of one key, the one with the highest `_CHANGE_SEQUENCE_NUMBER` counts, and ours
//! is the number of the pane, so neither a repetition nor the order changes the result. A session deletes the rows of the
//! sessions that became part of it, with its own number, which is higher than that of any of their panes.
//!
//! A column of a primary key is never NULL, but a `by` value may be. The key is therefore the window and one text with all
//! `by` values, [`ROW_KEY`].
//!
//! A body holds the deletions of a pane before its row, and counts only rows, so that it has as many as a body of the other
//! mode. A body of the other mode, which waited in the state, is converted, in both directions.
//!
//! See <https://docs.cloud.google.com/bigquery/docs/change-data-capture> for the rules. No emulator has them; the stand-in
//! in `tests/doubles` follows that page.

use flow::{
    append::{Append, Body},
    row::{Cell, Column, Kind, Row},
    window::Window,
};
use prost_types::FieldDescriptorProto;
use sha2::{Digest as _, Sha256};

use super::rows::{self, Encoder, Parts, malformed};
use crate::{WriterError, cells::Value, names::ROW_KEY, requests, schema::Target};

const CHANGE_TYPE: &str = "_CHANGE_TYPE";
const SEQUENCE: &str = "_CHANGE_SEQUENCE_NUMBER";
const UPSERT: &str = "UPSERT";
const DELETE: &str = "DELETE";
/// The columns of the primary key.
pub(super) const PRIMARY_KEY: [&str; 3] = ["window_start", "window_end", ROW_KEY];
/// A longer text of `by` values is replaced by its hash: BigQuery clusters by the first 1,024 characters only, and every
/// deletion has the key again.
const MAX_KEY_BYTES: usize = 1_024;
/// Bytes of a change beside the columns of its table.
const CHANGE: usize = 64;

/// How many columns rows have beside those of their flow.
pub(super) const COLUMNS: usize = 3;

/// Whether a column is one that no table has.
pub(super) fn is_pseudocolumn(name: &str) -> bool {
    [CHANGE_TYPE, SEQUENCE].contains(&name)
}

/// The columns that rows have beside those of their flow.
fn change_columns() -> [Column; COLUMNS] {
    [ROW_KEY, CHANGE_TYPE, SEQUENCE].map(|name| Column { name: name.to_owned(), kind: Kind::Text })
}

/// The `by` values as a JSON array, so that NULL differs from every text, or its hash.
fn key_of<'a>(values: impl Iterator<Item = Option<&'a str>>) -> String {
    let values: Vec<Option<&str>> = values.collect();
    let text = serde_json::to_string(&values).expect("text is always JSON");
    if text.len() <= MAX_KEY_BYTES {
        return text;
    }
    let hash: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

/// BigQuery compares these as hexadecimal numbers.
fn sequence_of(pane_index: u32) -> String {
    format!("{pane_index:X}")
}

/// Bytes of the rows with their deletions.
fn sizes(panes: &[Row]) -> Vec<usize> {
    let change = |row: &Row| {
        let key: usize = row.key.iter().map(|value| 16 + value.map_or(0, str::len)).sum();
        CHANGE + key.min(MAX_KEY_BYTES)
    };
    let sizes = requests::sizes(flow::append::Rows::Panes(panes)).into_iter().zip(panes);
    sizes.map(|(size, row)| size + change(row) * (1 + row.replaced.windows().len())).collect()
}

/// The rows (indexes) that fit into no request with their deletions.
pub(super) fn too_large(panes: &[Row]) -> Vec<usize> {
    rows::beyond(&sizes(panes))
}

/// Panes as bodies of requests.
pub(super) fn encode(target: &Target<'_>, panes: &[Row]) -> Result<Vec<Body>, WriterError> {
    let list = flow::append::Rows::Panes(panes);
    target.expect(list)?;
    let sizes = sizes(panes);
    if let Some(index) = rows::beyond(&sizes).first() {
        return Err(WriterError::TooLarge { table: target.name(), index: *index });
    }
    let columns: Vec<Column> = target.columns.iter().cloned().chain(change_columns()).collect();
    let cuts = requests::cuts(&sizes, columns.len());
    let mut bodies = Vec::with_capacity(cuts.len());
    let mut start = 0;
    for end in cuts {
        let mut encoder = Encoder::default();
        for (index, row) in panes.iter().enumerate().take(end).skip(start) {
            let (key, sequence) = (key_of(row.key.iter()), sequence_of(row.pane_index));
            let change = |encoder: &mut Encoder, kind: &str| {
                for text in [key.as_str(), kind, sequence.as_str()] {
                    encoder.add(Cell::Text(text));
                }
            };
            for window in row.replaced.windows() {
                target.columns.iter().for_each(|column| encoder.add(deleted(&column.name, *window)));
                change(&mut encoder, DELETE);
                encoder.end_deletion(&columns);
            }
            target.cells(list, index, &mut |cell| encoder.add(cell));
            change(&mut encoder, UPSERT);
            encoder.end_row(&columns);
        }
        bodies.push(encoder.body(&columns));
        start = end;
    }
    Ok(bodies)
}

/// The value of a column in a deletion, which has the columns of the key only.
fn deleted(column: &str, window: Window) -> Cell<'static> {
    match column {
        "window_start" => Cell::Time(window.start),
        "window_end" => Cell::Time(window.end),
        _ => Cell::Null,
    }
}

/// Whether a body consists of changes.
fn has_changes(fields: &[FieldDescriptorProto]) -> bool {
    fields.iter().any(|field| field.name() == CHANGE_TYPE)
}

/// Rows of the other mode as changes; `None` if they are changes already.
pub(super) fn changes(
    append: &Append,
    body: &[u8],
    target: &Target<'_>,
) -> Result<Option<Vec<u8>>, WriterError> {
    let parts = Parts::read(append, body)?;
    let mut fields = parts.fields(append)?;
    if has_changes(&fields) {
        return Ok(None);
    }
    let place = |name: &str| fields.iter().position(|field| field.name() == name);
    let by: Vec<Option<usize>> =
        target.flow.iter().flat_map(|flow| &flow.columns).map(|name| place(name)).collect();
    let index = place("pane_index").ok_or_else(|| malformed(append))?;
    let mut changed = Vec::with_capacity(body.len());
    for row in parts.iter(append) {
        let row = row?;
        let values = rows::values(row, fields.len()).ok_or_else(|| malformed(append))?;
        let text = |place: &Option<usize>| match place.map(|place| &values[place]) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let Value::Integer(pane_index) = values[index] else { return Err(malformed(append)) };
        let sequence = sequence_of(u32::try_from(pane_index).map_err(|_| malformed(append))?);
        let (mut row, mut number) = (row.to_vec(), fields.len() as u32);
        for text in [&key_of(by.iter().map(text)), UPSERT, &sequence] {
            number += 1;
            rows::put_bytes(number, text.as_bytes(), &mut row);
        }
        rows::put_row(&row, &mut changed);
    }
    for (number, column) in (fields.len() as i32 + 1..).zip(change_columns()) {
        fields.push(rows::field(number, &column.name, column.kind));
    }
    Ok(Some(rows::proto_data(&rows::schema_of(fields), &changed)))
}

/// Changes as rows of the other mode, in which a table keeps every pane; `None` if they are such rows already.
pub(super) fn panes(append: &Append, body: &[u8]) -> Result<Option<Vec<u8>>, WriterError> {
    let parts = Parts::read(append, body)?;
    let fields = parts.fields(append)?;
    if !has_changes(&fields) {
        return Ok(None);
    }
    let ours = change_columns();
    let (dropped, kept): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|field| ours.iter().any(|column| column.name == field.name()));
    let is_kept = |number: u32| !dropped.iter().any(|field| field.number() == number.cast_signed());
    let columns = dropped.len() + kept.len();
    let change = number_of(&dropped, append)?;
    let mut rows = Vec::with_capacity(body.len());
    for row in parts.iter(append) {
        let row = row?;
        if !is_deletion(append, row, columns, change)? {
            let row = rows::fields_of(row, is_kept).ok_or_else(|| malformed(append))?;
            rows::put_row(&row, &mut rows);
        }
    }
    Ok(Some(rows::proto_data(&rows::schema_of(kept), &rows)))
}

/// The append without these rows and their deletions.
pub(super) fn without(append: &Append, body: &[u8], refused: &[u32]) -> Result<Body, WriterError> {
    let parts = Parts::read(append, body)?;
    let mut kept = Body { rows: 0, bytes: Vec::new() };
    let mut rows = Vec::with_capacity(body.len());
    for change in changes_of(append, &parts)? {
        if !refused.contains(&change.pane) {
            rows::put_row(change.encoded, &mut rows);
            kept.rows += u32::from(!change.is_deletion);
        }
    }
    kept.bytes = rows::proto_data(parts.schema, &rows);
    Ok(kept)
}

/// The rows of refused changes, given by their places in a request: a deletion belongs to the row after it.
pub(super) fn rows_of(
    append: &Append,
    body: &[u8],
    refused: Vec<(u32, String)>,
) -> Result<Vec<(u32, String)>, WriterError> {
    let panes: Vec<u32> =
        changes_of(append, &Parts::read(append, body)?)?.into_iter().map(|change| change.pane).collect();
    let pane = |(change, reason): (u32, String)| {
        panes.get(change as usize).map(|pane| (*pane, reason)).ok_or_else(|| malformed(append))
    };
    let mut rows = refused.into_iter().map(pane).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|(pane, _)| *pane);
    rows.dedup_by_key(|(pane, _)| *pane);
    Ok(rows)
}

/// A change in a body.
struct Change<'a> {
    encoded: &'a [u8],
    is_deletion: bool,
    /// The row to which it belongs.
    pane: u32,
}

fn changes_of<'a>(append: &Append, parts: &Parts<'a>) -> Result<Vec<Change<'a>>, WriterError> {
    let fields = parts.fields(append)?;
    let change = number_of(&fields, append)?;
    let mut pane = 0;
    let changes = parts.iter(append).map(|row| {
        let encoded = row?;
        let is_deletion = is_deletion(append, encoded, fields.len(), change)?;
        let of = pane;
        pane += u32::from(!is_deletion);
        Ok(Change { encoded, is_deletion, pane: of })
    });
    changes.collect()
}

/// The number of the field with the kind of change.
fn number_of(fields: &[FieldDescriptorProto], append: &Append) -> Result<usize, WriterError> {
    let field = fields.iter().find(|field| field.name() == CHANGE_TYPE);
    let number = field.and_then(|field| usize::try_from(field.number()).ok());
    number.filter(|number| *number > 0).ok_or_else(|| malformed(append))
}

fn is_deletion(append: &Append, row: &[u8], columns: usize, change: usize) -> Result<bool, WriterError> {
    let values = rows::values(row, columns).ok_or_else(|| malformed(append))?;
    Ok(matches!(values.get(change - 1), Some(Value::Text(text)) if text == DELETE))
}

#[cfg(test)]
mod tests {
    use event::EventTime;
    use flow::append::{Rows, Table};

    use super::*;
    use crate::{fixtures, schema::Tables};

    fn with<T>(job: impl FnOnce(&Target<'_>) -> T) -> T {
        let tables = Tables::try_new(&[fixtures::sessions()]).expect("the names are good");
        job(&tables.target(&Table::Flow("visits".into())).expect("the table is known"))
    }

    fn append(body: &Body) -> Append {
        Append {
            table: Table::Flow("visits".into()),
            stream: "s".to_owned(),
            offset: 0,
            rows: body.rows,
            body: body.bytes.clone().into(),
        }
    }

    fn session(user: Option<&str>, index: u32, parts: &[(i64, i64)]) -> Row {
        let window = |&(start, end)| Window { start: EventTime(start), end: EventTime(end) };
        Row {
            key: [user.map(Into::into), None].into(),
            values: fixtures::counts([3]),
            pane_index: index,
            replaced: parts.iter().map(window).collect::<Vec<_>>().into(),
            ..fixtures::row()
        }
    }

    /// Kind, key and number of every change.
    fn shown(append: &Append, body: &[u8]) -> Vec<[String; 3]> {
        let parts = Parts::read(append, body).expect("its own bytes");
        let fields = parts.fields(append).expect("its own bytes");
        let place = |name: &str| fields.iter().position(|field| field.name() == name).expect("a field");
        let places = [CHANGE_TYPE, ROW_KEY, SEQUENCE].map(place);
        let row = |row: Result<&[u8], _>| {
            let values = rows::values(row.expect("its own bytes"), fields.len()).expect("its own bytes");
            places.map(|place| match &values[place] {
                Value::Text(text) => text.clone(),
                other => panic!("{other:?}"),
            })
        };
        parts.iter(append).map(row).collect()
    }

    fn rows() -> Vec<Row> {
        vec![
            session(Some("u"), 0, &[]),
            session(None, 12, &[(1, 2), (5, 9)]),
            session(Some(""), 3, &[(2, 3)]),
        ]
    }

    #[test]
    fn panes_are_changes_with_the_number_of_the_pane() {
        let bodies = with(|target| encode(target, &rows()).expect("the rows fit"));
        let [body] = &*bodies else { panic!("{bodies:?}") };
        assert_eq!(body.rows, 3, "deletions are not counted");
        let append = append(body);
        assert_eq!(
            shown(&append, &append.body),
            [
                ["UPSERT", r#"["u",null]"#, "0"],
                ["DELETE", "[null,null]", "C"],
                ["DELETE", "[null,null]", "C"],
                ["UPSERT", "[null,null]", "C"],
                ["DELETE", r#"["",null]"#, "3"],
                ["UPSERT", r#"["",null]"#, "3"],
            ]
        );
    }

    #[test]
    fn deletions_follow_their_row() {
        let body = with(|target| encode(target, &rows()).expect("the rows fit")).remove(0);
        let append = append(&body);
        let refused = [(5, "b".to_owned()), (1, "a".to_owned()), (3, "a".to_owned())];
        let rows = rows_of(&append, &append.body, refused.into()).expect("its own bytes");
        assert_eq!(rows, [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert!(rows_of(&append, &append.body, vec![(6, String::new())]).is_err());
        let rest = without(&append, &append.body, &[1]).expect("its own bytes");
        let kept = [self::rows()[0].clone(), self::rows()[2].clone()];
        assert_eq!(vec![rest], with(|target| encode(target, &kept).expect("the rows fit")));
    }

    #[test]
    fn bodies_of_both_modes_are_converted() {
        let rows: Vec<Row> = rows();
        with(|target| {
            let changes_body = encode(target, &rows).expect("the rows fit").remove(0);
            let plain_body = rows::encode(target, Rows::Panes(&rows)).expect("the rows fit").remove(0);
            let (changed, plain) = (append(&changes_body), append(&plain_body));
            assert_eq!(panes(&changed, &changed.body).expect("its own bytes"), Some(plain_body.bytes));
            assert_eq!(panes(&plain, &plain.body).expect("its own bytes"), None);
            assert_eq!(changes(&changed, &changed.body, target).expect("its own bytes"), None);
            // Which sessions a row replaces is not in a body of the other mode.
            let alone: Vec<Row> =
                rows.iter().map(|row| Row { replaced: Vec::new().into(), ..row.clone() }).collect();
            let expected = encode(target, &alone).expect("the rows fit").remove(0);
            assert_eq!(changes(&plain, &plain.body, target).expect("its own bytes"), Some(expected.bytes));
        });
    }

    #[test]
    fn a_long_key_is_replaced_by_its_hash() {
        let key = |text: &str| key_of([Some(text), None].into_iter());
        let (short, long) = (key(&"x".repeat(1_015)), key(&"x".repeat(1_016)));
        assert_eq!((short.len(), long.len()), (1_024, 71));
        assert_ne!(long, key(&"x".repeat(1_017)));
    }
}
