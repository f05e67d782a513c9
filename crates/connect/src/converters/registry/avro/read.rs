//! Avro's binary encoding to values.
//!
//! A length or count in the input is a claim: memory is taken from a budget before it is used.

use std::borrow::Cow;

use codec::avro::Input;

use super::{
    STEP, at,
    plan::{Kind, Node},
};
use crate::data::{Budget, DataError, Decimal, Value, logical};

/// More digits take quadratic time to write.
const LONGEST_DECIMAL: usize = 512;
const DAY: i64 = 86_400_000;

/// The next value of the input.
pub(super) fn value<'a>(
    node: &Node,
    input: &mut Input<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, DataError> {
    Ok(match &node.kind {
        Kind::Boolean => match input.array().map_err(at)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(malformed(input)),
        },
        Kind::Int => {
            let number = i64::from(input.int().map_err(at)?);
            if node.schema.is_named(logical::TIME) && !(0..=DAY).contains(&number) {
                return Err(DataError::new(STEP, "a time of day that is not within a day"));
            }
            Value::Int(number)
        }
        Kind::Byte => Value::Int((input.int().map_err(at)? as i8).into()),
        Kind::Short => Value::Int((input.int().map_err(at)? as i16).into()),
        Kind::Long => Value::Int(input.long().map_err(at)?),
        Kind::Float => Value::Single(f32::from_le_bytes(input.array().map_err(at)?)),
        Kind::Double => Value::Double(f64::from_le_bytes(input.array().map_err(at)?)),
        Kind::String => {
            let text = str::from_utf8(input.text().map_err(at)?).map_err(|_| malformed(input))?;
            Value::Text(Cow::Borrowed(text))
        }
        Kind::Bytes => Value::Bytes(Cow::Borrowed(input.counted().map_err(at)?)),
        Kind::Fixed(size) => Value::Bytes(Cow::Borrowed(take(input, *size)?)),
        Kind::Decimal(size) => {
            let bytes = match size {
                Some(size) => take(input, *size)?,
                None => input.counted().map_err(at)?,
            };
            if bytes.is_empty() || bytes.len() > LONGEST_DECIMAL {
                return Err(DataError::new(STEP, "a decimal without digits, or of more than 512 bytes"));
            }
            Value::Decimal(Decimal { unscaled: bytes.to_vec(), scale: node.schema.scale })
        }
        Kind::Enum(symbols) => {
            let index = input.int().map_err(at)?;
            let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
            let symbol = symbol.ok_or_else(|| malformed(input))?;
            budget.copy(&Value::Text(Cow::Borrowed(symbol)))?;
            Value::text(symbol.to_string())
        }
        Kind::Array(items) => {
            let mut values = Vec::new();
            while let Some(count) = input.block().map_err(at)? {
                for _ in 0..count {
                    budget.values(1)?;
                    values.push(value(items, input, budget)?);
                }
            }
            Value::List(values)
        }
        Kind::Map(values) => {
            let mut entries = Vec::new();
            while let Some(count) = input.block().map_err(at)? {
                for _ in 0..count {
                    budget.values(2)?;
                    let name = str::from_utf8(input.text().map_err(at)?).map_err(|_| malformed(input))?;
                    entries.push((Value::Text(Cow::Borrowed(name)), value(values, input, budget)?));
                }
            }
            Value::Map(entries)
        }
        Kind::Entries { key, value: inner, is_key_first } => {
            let mut entries = Vec::new();
            while let Some(count) = input.block().map_err(at)? {
                for _ in 0..count {
                    budget.values(2)?;
                    let (first, second) = if *is_key_first { (key, inner) } else { (inner, key) };
                    let (first, second) = (value(first, input, budget)?, value(second, input, budget)?);
                    entries.push(if *is_key_first { (first, second) } else { (second, first) });
                }
            }
            Value::Map(entries)
        }
        Kind::Record(nodes) => {
            budget.values(nodes.len())?;
            let fields = nodes.iter().map(|node| value(node, input, budget));
            Value::Struct(fields.collect::<Result<_, _>>()?)
        }
        Kind::Nullable { null, inner } => match input.int().map_err(at)? {
            branch if branch == *null => Value::Null,
            branch if branch == 1 - null => value(inner, input, budget)?,
            _ => return Err(malformed(input)),
        },
        Kind::Only(inner) => match input.int().map_err(at)? {
            0 => value(inner, input, budget)?,
            _ => return Err(malformed(input)),
        },
        Kind::Union(branches) => {
            let index = input.int().map_err(at)?;
            let index = usize::try_from(index).ok().filter(|index| *index < branches.len());
            let index = index.ok_or_else(|| malformed(input))?;
            let Some(branch) = &branches[index] else { return Ok(Value::Null) };
            let place = branches[..index].iter().flatten().count();
            budget.values(branches.len())?;
            let mut fields = vec![Value::Null; node.schema.fields.len()];
            fields[place] = value(branch, input, budget)?;
            Value::Struct(fields)
        }
        Kind::Cycle => return Err(Node::recursive()),
    })
}

fn take<'a>(input: &mut Input<'a>, size: usize) -> Result<&'a [u8], DataError> {
    let start = input.position();
    input.take(size, start).map_err(at)
}

fn malformed(input: &Input<'_>) -> DataError {
    DataError::new(STEP, format!("malformed before byte {}", input.position()))
}
