//! Rows as protobuf, as the Storage Write API takes them.
//!
//! A body is an encoded `ProtoData`: field 1 is the schema, field 2 the rows. The schema is a `DescriptorProto` that is
//! built from the table's columns: one optional proto2 field for each, numbered by its position, so that NULL is an
//! absent field. BigQuery maps fields to columns by name; `names` admits only names that protobuf takes too.
//!
//! Checkpoints contain these bytes. Each body carries its own schema, so that rows which wait in a state can be sent
//! after the columns of their table have changed. A body of release 0.1.0 contains Arrow (see [`super::arrow`]).

use std::{borrow::Cow, collections::HashSet, fmt::Write as _};

use flow::{
    append::{Append, Body, Rows},
    row::{Cell, Column, Kind},
};
use prost::{
    Message as _,
    encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::{arrow, wire::ProtoSchema};
use crate::{WriterError, cells::Value, requests, schema::Target, stamp};

/// A row beyond this fits into no request: BigQuery takes 10 MB, including everything around the row.
const ROW_BYTES: usize = 8 << 20;

/// The field numbers of `ProtoData` and of `ProtoRows`.
const SCHEMA: u32 = 1;
const ROWS: u32 = 2;
const ROW: u32 = 1;

/// The rows that fit into no request.
pub(crate) fn too_large(rows: Rows<'_>) -> Vec<usize> {
    beyond(&requests::sizes(rows))
}

/// The indexes of sizes that fit into no request.
pub(super) fn beyond(sizes: &[usize]) -> Vec<usize> {
    let sizes = sizes.iter().enumerate();
    sizes.filter(|(_, size)| **size > ROW_BYTES).map(|(index, _)| index).collect()
}

/// Rows as bodies of requests.
pub(crate) fn encode(target: &Target<'_>, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
    target.expect(rows)?;
    let sizes = requests::sizes(rows);
    if let Some(index) = beyond(&sizes).first() {
        return Err(WriterError::TooLarge { table: target.name(), index: *index });
    }
    let cuts = requests::cuts(&sizes, target.columns.len());
    let mut bodies = Vec::with_capacity(cuts.len());
    let mut start = 0;
    for end in cuts {
        let mut encoder = Encoder::default();
        for index in start..end {
            target.cells(rows, index, &mut |cell| encoder.add(cell));
            encoder.end_row(&target.columns);
        }
        bodies.push(encoder.body(&target.columns));
        start = end;
    }
    Ok(bodies)
}

/// Encodes rows cell by cell. The only allocations are its buffers, which grow to the size of the request and of the
/// largest row.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    rows: Vec<u8>,
    count: u32,
    row: Vec<u8>,
    decimal: String,
    /// The number of the last field of the row.
    field: u32,
}

impl Encoder {
    /// The next cell of the row.
    pub(super) fn add(&mut self, cell: Cell<'_>) {
        self.field += 1;
        match cell {
            Cell::Null => {}
            Cell::Text(text) => put_bytes(self.field, text.as_bytes(), &mut self.row),
            Cell::Integer(number) => prost::encoding::int64::encode(self.field, &number, &mut self.row),
            Cell::Decimal(total) => {
                self.decimal.clear();
                write!(self.decimal, "{total}").expect("text grows without fail");
                put_bytes(self.field, self.decimal.as_bytes(), &mut self.row);
            }
            Cell::Real(number) => prost::encoding::double::encode(self.field, &number, &mut self.row),
            Cell::Bytes(bytes) => put_bytes(self.field, bytes, &mut self.row),
            Cell::Time(time) => {
                let micros = stamp::millis(time) * 1000;
                prost::encoding::int64::encode(self.field, &micros, &mut self.row);
            }
        }
    }

    /// Ends the row. Its cells were one for each column, in their order.
    pub(super) fn end_row(&mut self, columns: &[Column]) {
        self.end_deletion(columns);
        self.count += 1;
    }

    /// As [`end_row`](Self::end_row), for a row that is not counted: one that deletes another.
    pub(super) fn end_deletion(&mut self, columns: &[Column]) {
        debug_assert_eq!(self.field as usize, columns.len());
        put_bytes(ROW, &self.row, &mut self.rows);
        self.row.clear();
        self.field = 0;
    }

    /// The rows as a body.
    pub(super) fn body(self, columns: &[Column]) -> Body {
        Body { rows: self.count, bytes: proto_data(&schema(columns), &self.rows) }
    }
}

/// The schema of a table as field 1 of `ProtoData`.
fn schema(columns: &[Column]) -> Vec<u8> {
    let fields = (1..).zip(columns).map(|(number, column)| field(number, &column.name, column.kind));
    schema_of(fields.collect())
}

/// Fields of these descriptors as field 1 of `ProtoData`.
pub(super) fn schema_of(field: Vec<FieldDescriptorProto>) -> Vec<u8> {
    let descriptor = DescriptorProto { name: Some("Row".to_owned()), field, ..DescriptorProto::default() };
    let schema = ProtoSchema { proto_descriptor: Some(descriptor) };
    let mut bytes = Vec::new();
    prost::encoding::message::encode(SCHEMA, &schema, &mut bytes);
    bytes
}

/// An optional field.
pub(super) fn field(number: i32, name: &str, kind: Kind) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(proto_type(kind).into()),
        ..FieldDescriptorProto::default()
    }
}

/// The type that BigQuery's documentation prefers for a column. Times are microseconds since 1970; NUMERIC is text, because
/// a double would be inexact.
fn proto_type(kind: Kind) -> Type {
    match kind {
        Kind::Text | Kind::Decimal => Type::String,
        Kind::Bytes => Type::Bytes,
        Kind::Integer | Kind::Time => Type::Int64,
        Kind::Real => Type::Double,
    }
}

/// A `ProtoData` of an encoded schema and encoded rows.
pub(super) fn proto_data(schema: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(schema.len() + rows.len() + 16);
    bytes.extend_from_slice(schema);
    put_bytes(ROWS, rows, &mut bytes);
    bytes
}

/// Adds a row to the rows of a `ProtoData`.
pub(super) fn put_row(row: &[u8], rows: &mut Vec<u8>) {
    put_bytes(ROW, row, rows);
}

/// Adds a text or bytes as a field.
pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The body of an append as protobuf. Converts one of release 0.1.0; others are returned as they are.
pub(super) fn current<'a>(append: &'a Append, target: &Target<'_>) -> Result<Cow<'a, [u8]>, WriterError> {
    if arrow::is_arrow(&append.body) {
        return Ok(Cow::Owned(arrow::convert(append, target)?.bytes));
    }
    Ok(Cow::Borrowed(&append.body))
}

/// The append without these rows.
pub(crate) fn without(append: &Append, target: &Target<'_>, refused: &[u32]) -> Result<Body, WriterError> {
    let body = current(append, target)?;
    let parts = Parts::read(append, &body)?;
    let mut rows = Vec::with_capacity(parts.rows.len());
    let mut kept = 0;
    for (index, row) in (0..).zip(parts.iter(append)) {
        let row = row?;
        if !refused.contains(&index) {
            put_bytes(ROW, row, &mut rows);
            kept += 1;
        }
    }
    Ok(Body { rows: kept, bytes: proto_data(parts.schema, &rows) })
}

/// The body with only the columns that its table has. It lacks those of measures that were removed while the rows waited,
/// if it was created since.
pub(super) fn only(append: &Append, body: &[u8], has: impl Fn(&str) -> bool) -> Result<Vec<u8>, WriterError> {
    let parts = Parts::read(append, body)?;
    let mut fields = parts.fields(append)?;
    fields.retain(|field| has(field.name()));
    let kept: HashSet<i32> = fields.iter().map(FieldDescriptorProto::number).collect();
    let mut rows = Vec::with_capacity(parts.rows.len());
    for row in parts.iter(append) {
        let row = fields_of(row?, |field| i32::try_from(field).is_ok_and(|field| kept.contains(&field)));
        put_bytes(ROW, &row.ok_or_else(|| malformed(append))?, &mut rows);
    }
    Ok(proto_data(&schema_of(fields), &rows))
}

/// The fields of an encoded row that `keep` wants.
pub(super) fn fields_of(row: &[u8], keep: impl Fn(u32) -> bool) -> Option<Vec<u8>> {
    let (mut kept, mut rest) = (Vec::with_capacity(row.len()), row);
    while !rest.is_empty() {
        let from = rest;
        let (field, kind) = decode_key(&mut rest).ok()?;
        match kind {
            WireType::Varint => drop(decode_varint(&mut rest).ok()?),
            WireType::SixtyFourBit => rest = rest.split_at_checked(8)?.1,
            WireType::LengthDelimited => drop(take_length(&mut rest)?),
            _ => return None,
        }
        if keep(field) {
            kept.extend_from_slice(&from[..from.len() - rest.len()]);
        }
    }
    Some(kept)
}

/// A body taken apart.
pub(super) struct Parts<'a> {
    /// Field 1 of `ProtoData`, with its key and length. Can be left out of a request if the request before it on the
    /// same connection had the same schema.
    pub(super) schema: &'a [u8],
    /// Field 2 of `ProtoData`, without its key and length.
    rows: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn read(append: &Append, body: &'a [u8]) -> Result<Self, WriterError> {
        let mut rest = body;
        let schema = take(&mut rest, SCHEMA).map(|_| &body[..body.len() - rest.len()]);
        let rows = take(&mut rest, ROWS).filter(|_| rest.is_empty());
        match (schema, rows) {
            (Some(schema), Some(rows)) => Ok(Self { schema, rows }),
            _ => Err(malformed(append)),
        }
    }

    /// The encoded rows.
    pub(super) fn iter(&self, append: &Append) -> impl Iterator<Item = Result<&'a [u8], WriterError>> {
        let mut rest = self.rows;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let row = take(&mut rest, ROW);
            if row.is_none() {
                rest = &[];
            }
            Some(row.ok_or_else(|| malformed(append)))
        })
    }

    /// The columns that the rows have, in the order of their field numbers, with the kinds of today's columns. `None`
    /// for a column that this configuration no longer has.
    pub(super) fn columns(
        &self,
        append: &Append,
        today: &[Column],
    ) -> Result<Vec<Option<Column>>, WriterError> {
        let named = |field: FieldDescriptorProto| today.iter().find(|c| c.name == field.name()).cloned();
        Ok(self.fields(append)?.into_iter().map(named).collect())
    }

    /// The descriptors of the fields.
    pub(super) fn fields(&self, append: &Append) -> Result<Vec<FieldDescriptorProto>, WriterError> {
        let mut schema = self.schema;
        let schema = take(&mut schema, SCHEMA).and_then(|bytes| ProtoSchema::decode(bytes).ok());
        let descriptor = schema.and_then(|schema| schema.proto_descriptor);
        descriptor.map(|descriptor| descriptor.field).ok_or_else(|| malformed(append))
    }
}

/// The values of an encoded row by the positions of its columns. Times are microseconds.
pub(super) fn values(row: &[u8], columns: usize) -> Option<Vec<Value>> {
    let mut values = vec![Value::Null; columns];
    let mut rest = row;
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest).ok()?;
        let value = match kind {
            WireType::Varint => Value::Integer(decode_varint(&mut rest).ok()?.cast_signed()),
            WireType::SixtyFourBit => {
                let (bytes, after) = rest.split_first_chunk()?;
                rest = after;
                Value::Real(f64::from_le_bytes(*bytes))
            }
            WireType::LengthDelimited => match std::str::from_utf8(take_length(&mut rest)?) {
                Ok(text) => Value::Text(text.to_owned()),
                // A sketch; one that is UTF-8 is recognised by its column.
                Err(_) => Value::Bytes,
            },
            _ => return None,
        };
        *values.get_mut(usize::try_from(field).ok()?.checked_sub(1)?)? = value;
    }
    Some(values)
}

/// The content of a field with a length, if it is the next one.
fn take<'a>(rest: &mut &'a [u8], field: u32) -> Option<&'a [u8]> {
    let (found, kind) = decode_key(rest).ok()?;
    (found == field && kind == WireType::LengthDelimited).then(|| take_length(rest)).flatten()
}

fn take_length<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

pub(super) fn malformed(append: &Append) -> WriterError {
    WriterError::Append {
        table: append.table.name(),
        offset: append.offset,
        problem: "cannot decode the body",
    }
}

#[cfg(test)]
mod tests {
    use event::EventTime;
    use flow::{
        append::Table,
        row::{FlowTable, Pane, Row},
        window::Window,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{fixtures, schema::Tables};

    fn row(key: &str) -> Row {
        Row {
            key: [Some(key.into()), None].into(),
            window: Window { start: EventTime(0), end: EventTime(60_000) },
            values: fixtures::counts([2, 3, 1]),
            pane: Pane::Late,
            pane_index: 2,
            watermark: EventTime::MAX,
            emitted_at: EventTime(5),
            replaced: flow::row::Replaced::default(),
        }
    }

    fn with<T>(flow: &FlowTable, job: impl FnOnce(&Target<'_>) -> T) -> T {
        let tables = Tables::try_new(std::slice::from_ref(flow)).expect("the names are good");
        job(&tables.target(&Table::Flow(flow.flow.clone())).expect("the table is known"))
    }

    fn append(body: &Body) -> Append {
        Append {
            table: Table::Flow("f".into()),
            stream: "s".to_owned(),
            offset: 0,
            rows: body.rows,
            body: body.bytes.clone().into(),
        }
    }

    fn encoded(flow: &FlowTable, rows: &[Row]) -> Vec<Body> {
        with(flow, |target| encode(target, Rows::Panes(rows)).expect("the rows fit"))
    }

    #[test]
    fn rows_are_split_into_requests() {
        let flow = fixtures::ctr(true);
        let long = "x".repeat(1 << 20);
        let rows: Vec<_> = (0..10).map(|_| row(&long)).collect();
        let bodies = encoded(&flow, &rows);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.bytes.len() < 9 << 20));
        assert_eq!(bodies, encoded(&flow, &rows));
        assert_eq!(bodies.iter().map(|body| body.rows).sum::<u32>(), 10);
        let first = append(&bodies[0]);
        let parts = Parts::read(&first, &first.body).expect("its own bytes");
        assert_eq!(parts.iter(&first).count(), first.rows as usize);
        let rest = with(&flow, |target| without(&first, target, &[0]).expect("its own bytes"));
        assert_eq!(vec![rest], encoded(&flow, &rows[1..first.rows as usize]));
    }

    #[test]
    fn null_is_an_absent_field() {
        let flow = fixtures::ctr(true);
        let columns = flow.all_columns();
        let append = append(&encoded(&flow, &[row("/a")])[0]);
        let parts = Parts::read(&append, &append.body).expect("its own bytes");
        let named = parts.columns(&append, &columns).expect("its own bytes");
        assert_eq!(named.into_iter().flatten().collect::<Vec<_>>(), columns);
        let row = parts.iter(&append).next().expect("one row").expect("its own bytes");
        let values = values(row, columns.len()).expect("its own bytes");
        assert_eq!(values[..2], [Value::Text("/a".to_owned()), Value::Null]);
        assert_eq!(values[3..5], [Value::Integer(60_000_000), Value::Integer(2)]);
        assert_eq!(values[values.len() - 2..], [Value::Integer(stamp::LAST * 1000), Value::Integer(5_000)]);
    }

    #[test]
    fn every_kind_of_measure_has_a_field() {
        let flow = fixtures::measures();
        let rows = [fixtures::measured("-0.1", Some(7)), fixtures::measured("0", None)];
        let append = append(&encoded(&flow, &rows)[0]);
        let parts = Parts::read(&append, &append.body).expect("its own bytes");
        let mut schema = parts.schema;
        let schema = take(&mut schema, SCHEMA).expect("its own bytes");
        let fields =
            ProtoSchema::decode(schema).expect("a schema").proto_descriptor.expect("a descriptor").field;
        let types: Vec<_> = fields.iter().map(|field| (field.name(), field.r#type())).collect();
        assert_eq!(
            types[3..12],
            [
                ("views", Type::Int64),
                ("revenue", Type::String),
                ("lowest", Type::String),
                ("users", Type::Int64),
                ("users_sketch", Type::Bytes),
                ("readers", Type::Int64),
                ("share", Type::Double),
                ("share_low", Type::Double),
                ("share_high", Type::Double),
            ]
        );
        let read = |row: &[u8]| values(row, fields.len()).expect("its own bytes");
        let rows: Vec<_> = parts.iter(&append).map(|row| read(row.expect("its own bytes"))).collect();
        let number = || Value::Text("-0.1".to_owned());
        assert_eq!(
            rows[0][3..10],
            [
                Value::Integer(4),
                number(),
                number(),
                Value::Integer(7),
                Value::Bytes,
                Value::Integer(7),
                Value::Real(1.0)
            ]
        );
        assert!(rows[1][3..13].iter().all(|value| *value == Value::Null), "{:?}", rows[1]);
    }

    #[test]
    fn a_body_keeps_its_schema_when_columns_change() {
        let old = fixtures::ctr(true).all_columns();
        let append = append(&encoded(&fixtures::ctr(true), &[row("/a")])[0]);
        let parts = Parts::read(&append, &append.body).expect("its own bytes");
        let mut today = old.clone();
        today.retain(|column| column.name != "clicks");
        today.insert(0, Column { name: "revenue".to_owned(), kind: Kind::Decimal });
        let named = parts.columns(&append, &today).expect("its own bytes");
        let names: Vec<_> = named.iter().map(|column| column.as_ref().map(|c| c.name.as_str())).collect();
        let expected: Vec<_> = old.iter().map(|c| (c.name != "clicks").then_some(c.name.as_str())).collect();
        assert_eq!(names, expected);
    }

    proptest! {
        #[test]
        fn altered_bodies_are_errors(cut in 0_usize..200, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let whole = append(&encoded(&fixtures::ctr(true), &[row("/a")])[0]);
            let mut altered = whole.body[..cut.min(whole.body.len() - 1)].to_vec();
            altered.extend_from_slice(&bytes);
            let altered = Append { body: altered.into(), ..whole };
            // Neither panics, whatever the bytes are.
            let _ = with(&fixtures::ctr(true), |target| without(&altered, target, &[]));
            let _ = values(&bytes, 3);
        }
    }
}
