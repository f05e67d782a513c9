//! Decodes rows in protobuf format by the schema that was sent with them, and checks both against the table, as the
//! service does.
//!
//! A field of the schema that the table does not have, or whose type does not fit its column, refuses the request. A
//! column without a field is NULL. A row that cannot be decoded by the schema, or that has a field which the schema
//! does not have, refuses the request too; a value that its column cannot contain refuses the row.

use std::str;

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_types::{DescriptorProto, field_descriptor_proto::Type};
use rusqlite::types::Value;
use tonic::Status;

use super::wire::{self, StorageCode};

/// The rows of one append.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Rows with a value that its column cannot contain.
    pub(super) bad_rows: Vec<i64>,
}

/// A column of a table: its name, and its type as the REST API spells it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The schema has a field that the table does not have.
    ExtraField(String),
    /// The schema or a row is malformed, or they do not fit together.
    Malformed(String),
}

struct Field {
    number: u32,
    kind: Type,
    /// What the column holds, as far as values have bounds.
    bounds: Bounds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bounds {
    None,
    Time,
    Numeric,
}

/// Microseconds of 0001-01-01T00:00:00Z and of 9999-12-31T23:59:59.999999Z.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

impl Batch {
    pub(super) fn read(
        descriptor: &DescriptorProto,
        rows: &[Vec<u8>],
        table: &[Column],
    ) -> Result<Self, Refusal> {
        let mut batch = Self::default();
        let mut fields = Vec::with_capacity(descriptor.field.len());
        for field in &descriptor.field {
            let column = table.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()));
            let column = column.ok_or_else(|| Refusal::ExtraField(field.name().to_owned()))?;
            if !fits(field.r#type(), &column.kind) {
                let problem = format!("{:?} is not a value of type {}", field.r#type(), column.kind);
                return Err(Refusal::Malformed(format!("field {}: {problem}", field.name())));
            }
            let number = u32::try_from(field.number()).unwrap_or(0);
            let bounds = match column.kind.as_str() {
                "TIMESTAMP" => Bounds::Time,
                "NUMERIC" => Bounds::Numeric,
                _ => Bounds::None,
            };
            fields.push(Field { number, kind: field.r#type(), bounds });
            batch.columns.push(column.name.clone());
        }
        for (index, row) in (0..).zip(rows) {
            let (values, is_bad) =
                decode(row, &fields).map_err(|error| Refusal::Malformed(format!("row {index}: {error}")))?;
            batch.rows.push(values);
            batch.bad_rows.extend(is_bad.then_some(index));
        }
        Ok(batch)
    }
}

impl Refusal {
    pub(super) fn status(&self, stream: &str) -> wire::RpcStatus {
        match self {
            Self::ExtraField(name) => wire::status(
                tonic::Code::InvalidArgument,
                StorageCode::SchemaMismatch,
                stream,
                &format!("no column {name} in the table"),
            ),
            Self::Malformed(problem) => wire::plain_status(&Status::invalid_argument(problem)),
        }
    }
}

/// The table of supported types in BigQuery's documentation, as far as scalar fields go.
fn fits(field: Type, column: &str) -> bool {
    use Type::{Bool, Bytes, Double, Float, Int32, Int64, String, Uint32, Uint64};
    match column {
        "STRING" => matches!(field, String),
        "INT64" | "INTEGER" => matches!(field, Int32 | Int64 | Uint32),
        "FLOAT64" | "FLOAT" => matches!(field, Double | Float),
        "TIMESTAMP" => matches!(field, Int64 | Int32 | Uint32),
        "NUMERIC" => matches!(field, Int32 | Int64 | Uint32 | Uint64 | Double | Float | String | Bytes),
        "BYTES" => matches!(field, Bytes | String),
        "BOOL" | "BOOLEAN" => matches!(field, Bool | Int32 | Int64 | Uint32 | Uint64),
        _ => false,
    }
}

/// The values of a row, and whether one of them is outside its column's bounds.
fn decode(mut row: &[u8], fields: &[Field]) -> Result<(Vec<Value>, bool), DecodeError> {
    let mut values = vec![Value::Null; fields.len()];
    let mut is_bad = false;
    while !row.is_empty() {
        let (number, wire) = decode_key(&mut row)?;
        let Some(at) = fields.iter().position(|field| field.number == number) else {
            skip_field(wire, number, &mut row, DecodeContext::default())?;
            return Err(malformed("unknown field"));
        };
        let field = &fields[at];
        values[at] = match (field.kind, wire) {
            (Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool, WireType::Varint) => {
                let number = decode_varint(&mut row)?.cast_signed();
                is_bad |= field.bounds == Bounds::Time && !TIMES.contains(&number);
                Value::Integer(number)
            }
            (Type::Double, WireType::SixtyFourBit) => Value::Real(f64::from_le_bytes(take(&mut row)?)),
            (Type::Float, WireType::ThirtyTwoBit) => Value::Real(f32::from_le_bytes(take(&mut row)?).into()),
            (Type::String | Type::Bytes, WireType::LengthDelimited) => {
                let length = usize::try_from(decode_varint(&mut row)?).unwrap_or(usize::MAX);
                let cut = || malformed("truncated field");
                let (bytes, rest) = row.split_at_checked(length).ok_or_else(cut)?;
                row = rest;
                match str::from_utf8(bytes) {
                    _ if field.kind == Type::Bytes && field.bounds == Bounds::Numeric => {
                        Value::Text(numeric(bytes).ok_or_else(|| malformed("invalid NUMERIC"))?)
                    }
                    _ if field.kind == Type::Bytes => Value::Blob(bytes.to_owned()),
                    Ok(text) => {
                        is_bad |= field.bounds == Bounds::Numeric && !is_numeric(text);
                        Value::Text(text.to_owned())
                    }
                    Err(_) => return Err(malformed("invalid UTF-8")),
                }
            }
            _ => return Err(malformed("wrong field type")),
        };
    }
    Ok((values, is_bad))
}

/// A NUMERIC that is encoded as Google's clients do: billionths as a little-endian number in two's complement.
fn numeric(bytes: &[u8]) -> Option<String> {
    let sign = if *bytes.last()? < 0x80 { 0 } else { u8::MAX };
    let mut wide = [sign; size_of::<i128>()];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let billionths = i128::from_le_bytes(wide);
    let (whole, rest) =
        (billionths.unsigned_abs() / 1_000_000_000, billionths.unsigned_abs() % 1_000_000_000);
    let sign = if billionths < 0 { "-" } else { "" };
    Some(format!("{sign}{whole}.{rest:09}"))
}

/// Whether a NUMERIC can hold a number that is written without an exponent: 29 digits before the point and nine after it.
fn is_numeric(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits =
        |digits: &str, most| digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_digit());
    !whole.is_empty() && is_digits(whole, 29) && is_digits(fraction, 9)
}

fn take<const N: usize>(row: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (bytes, rest) = row.split_first_chunk().ok_or_else(|| malformed("truncated number"))?;
    *row = rest;
    Ok(*bytes)
}

#[expect(deprecated, reason = "prost has no other constructor for a custom decoder")]
fn malformed(problem: &'static str) -> DecodeError {
    DecodeError::new(problem)
}

#[cfg(test)]
mod tests {
    use prost::encoding::{double, encode_key, int64, string};
    use prost_types::{FieldDescriptorProto, field_descriptor_proto::Label};

    use super::*;

    fn descriptor(fields: &[(&str, Type)]) -> DescriptorProto {
        let field = |(number, (name, kind)): (i32, &(&str, Type))| FieldDescriptorProto {
            name: Some((*name).to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some((*kind).into()),
            ..FieldDescriptorProto::default()
        };
        DescriptorProto { field: (1..).zip(fields).map(field).collect(), ..DescriptorProto::default() }
    }

    fn table() -> Vec<Column> {
        [
            ("page", "STRING"),
            ("views", "INTEGER"),
            ("ctr", "FLOAT64"),
            ("at", "TIMESTAMP"),
            ("revenue", "NUMERIC"),
            ("sketch", "BYTES"),
        ]
        .map(|(name, kind)| Column { name: name.to_owned(), kind: kind.to_owned() })
        .into()
    }

    #[test]
    fn numbers_of_googles_clients_are_read() {
        for (bytes, text) in [
            (&[0x00, 0xf9, 0x02, 0x95, 0x00][..], "2.500000000"),
            (&[0xff], "-0.000000001"),
            (&[0x00], "0.000000000"),
        ] {
            assert_eq!(numeric(bytes).as_deref(), Some(text));
        }
        assert_eq!(numeric(&[]), None);
        assert_eq!(numeric(&[0; 17]), None);
    }

    fn row(put: impl FnOnce(&mut Vec<u8>)) -> Vec<Vec<u8>> {
        let mut row = Vec::new();
        put(&mut row);
        vec![row]
    }

    const FIELDS: [(&str, Type); 3] = [("Page", Type::String), ("at", Type::Int64), ("ctr", Type::Double)];

    #[test]
    fn fields_are_mapped_by_name_and_absent_ones_are_null() {
        let rows = row(|row| {
            int64::encode(2, &-5, row);
            string::encode(1, &"/a".to_owned(), row);
        });
        let batch = Batch::read(&descriptor(&FIELDS), &rows, &table()).expect("a batch");
        assert_eq!(batch.columns, ["page", "at", "ctr"]);
        assert_eq!(batch.rows, [[Value::Text("/a".to_owned()), Value::Integer(-5), Value::Null]]);
        assert!(batch.bad_rows.is_empty());
    }

    #[test]
    fn mismatched_schemas_are_rejected() {
        let read = |name, kind| Batch::read(&descriptor(&[(name, kind)]), &[], &table());
        assert!(matches!(read("other", Type::String), Err(Refusal::ExtraField(name)) if name == "other"));
        for (name, kind) in
            [("views", Type::String), ("page", Type::Int64), ("ctr", Type::Int64), ("at", Type::Double)]
        {
            assert!(matches!(read(name, kind), Err(Refusal::Malformed(_))), "{name} {kind:?}");
        }
    }

    #[test]
    fn mismatched_rows_are_rejected() {
        for rows in [
            row(|row| int64::encode(9, &1, row)),
            row(|row| int64::encode(1, &1, row)),
            row(|row| double::encode(2, &1.0, row)),
            row(|row| row.extend_from_slice(b"\x0a\x05hi")),
            row(|row| row.extend_from_slice(b"\x0a\x01\xff")),
            row(|row| encode_key(2, WireType::Varint, row)),
        ] {
            let read = Batch::read(&descriptor(&FIELDS), &rows, &table());
            assert!(matches!(read, Err(Refusal::Malformed(_))), "{rows:?}");
        }
        let beyond = row(|row| int64::encode(2, &(TIMES.end() + 1), row));
        let batch = Batch::read(&descriptor(&FIELDS), &beyond, &table()).expect("a batch");
        assert_eq!(batch.bad_rows, [0]);
    }

    #[test]
    fn numbers_and_bytes_are_kept() {
        let descriptor = descriptor(&[("revenue", Type::String), ("sketch", Type::Bytes)]);
        let numbers = ["-0.5", "12345678901234567890123456789.123456789", "1.0000000001", "1e3", "", "x"];
        let row = |number: &str| {
            let mut row = Vec::new();
            string::encode(1, &number.to_owned(), &mut row);
            prost::encoding::bytes::encode(2, &vec![0xFF_u8, 0], &mut row);
            row
        };
        let rows: Vec<_> = numbers.iter().map(|number| row(number)).collect();
        let batch = Batch::read(&descriptor, &rows, &table()).expect("a batch");
        assert_eq!(batch.rows[0], [Value::Text("-0.5".to_owned()), Value::Blob(vec![0xFF, 0])]);
        assert_eq!(batch.bad_rows, [2, 3, 4, 5]);
    }
}
