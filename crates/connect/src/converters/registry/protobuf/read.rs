//! From a decoded message to values.

use std::borrow::Cow;

use event::calendar;
use prost_reflect::{DynamicMessage, EnumDescriptor, MapKey, Syntax, Value as Wire};

use super::{
    error,
    plan::{Kind, LARGEST_SCALE, Member, Message, Node, Placed, Root},
};
use crate::data::{Budget, DataError, Decimal, Value};

/// More digits take quadratic time to write.
const LONGEST_DECIMAL: usize = 512;

/// The value of a record.
pub(super) fn root(
    root: &Root,
    mut decoded: DynamicMessage,
    budget: &mut Budget,
) -> Result<Value<'static>, DataError> {
    match root {
        Root::Message(message) => structure(message, &mut decoded, budget),
        Root::Wrapped(node) => value(node, Wire::Message(decoded), budget),
    }
}

fn structure(
    message: &Message,
    decoded: &mut DynamicMessage,
    budget: &mut Budget,
) -> Result<Value<'static>, DataError> {
    budget.values(message.members.len())?;
    let mut values = Vec::with_capacity(message.members.len());
    for member in &message.members {
        values.push(match member {
            Member::Field(placed) => field(placed, decoded, budget)?,
            Member::Alternative(placed) => present(placed, decoded, budget)?.unwrap_or(Value::Null),
            Member::Union(alternatives) => union(alternatives, decoded, budget)?,
        });
    }
    Ok(Value::Struct(values))
}

/// The struct of a `oneof`; null if none of its fields is set.
fn union(
    alternatives: &[Placed],
    decoded: &mut DynamicMessage,
    budget: &mut Budget,
) -> Result<Value<'static>, DataError> {
    for (place, placed) in alternatives.iter().enumerate() {
        if let Some(value) = present(placed, decoded, budget)? {
            budget.values(alternatives.len())?;
            let mut values = vec![Value::Null; alternatives.len()];
            values[place] = value;
            return Ok(Value::Struct(values));
        }
    }
    Ok(Value::Null)
}

fn field(
    placed: &Placed,
    decoded: &mut DynamicMessage,
    budget: &mut Budget,
) -> Result<Value<'static>, DataError> {
    let descriptor = &placed.descriptor;
    match present(placed, decoded, budget)? {
        Some(value) => Ok(value),
        None if descriptor.is_required() => Err(error("a required field is missing")),
        None if placed.has_default => {
            let default = Wire::default_value_for_field(descriptor);
            let default = value(&placed.node, default, budget)?;
            budget.copy(&default)?;
            Ok(default)
        }
        None => Ok(Value::Null),
    }
}

/// The value of a field that is set. A number that a closed enum does not have is an unknown field.
fn present(
    placed: &Placed,
    decoded: &mut DynamicMessage,
    budget: &mut Budget,
) -> Result<Option<Value<'static>>, DataError> {
    if !decoded.has_field(&placed.descriptor) {
        return Ok(None);
    }
    match decoded.take_field(&placed.descriptor) {
        Some(wire) if !is_unknown(&placed.node.kind, &wire) => value(&placed.node, wire, budget).map(Some),
        _ => Ok(None),
    }
}

fn is_unknown(kind: &Kind, wire: &Wire) -> bool {
    match (kind, wire) {
        (Kind::Enum(found) | Kind::Number(found), Wire::EnumNumber(number)) => {
            found.parent_file().syntax() == Syntax::Proto2 && found.get_value(*number).is_none()
        }
        _ => false,
    }
}

fn value(node: &Node, wire: Wire, budget: &mut Budget) -> Result<Value<'static>, DataError> {
    Ok(match (&node.kind, wire) {
        (Kind::Byte, Wire::I32(number)) => Value::Int((number as i8).into()),
        (Kind::Short, Wire::I32(number)) => Value::Int((number as i16).into()),
        (Kind::Enum(found), Wire::EnumNumber(number)) => {
            let text = symbol(found, number);
            budget.copy(&text)?;
            text
        }
        (Kind::Number(_), Wire::EnumNumber(number)) => Value::Int(number.into()),
        (Kind::Decimal, Wire::Message(message)) => decimal(&message)?,
        (Kind::Date, Wire::Message(message)) => date(&message)?,
        (Kind::Time, Wire::Message(message)) => time(&message)?,
        (Kind::Timestamp, Wire::Message(message)) => timestamp(&message)?,
        (Kind::Wrapped, Wire::Message(mut message)) => match message.take_field_by_name("value") {
            Some(wire) => scalar(wire)?,
            None => scalar(
                message
                    .get_field_by_name("value")
                    .map(Cow::into_owned)
                    .ok_or_else(|| error("an invalid wrapper"))?,
            )?,
        },
        (Kind::Message(plan), Wire::Message(mut message)) => structure(plan, &mut message, budget)?,
        (Kind::List(inner), Wire::List(all)) => {
            budget.values(all.len())?;
            let known = all.into_iter().filter(|wire| !is_unknown(&inner.kind, wire));
            Value::List(known.map(|wire| value(inner, wire, budget)).collect::<Result<_, _>>()?)
        }
        (Kind::Map { key, value: inner }, Wire::Map(all)) => {
            budget.values(2 * all.len())?;
            let mut all: Vec<(MapKey, Wire)> = all.into_iter().collect();
            // For messages that are the same each time that a record is read.
            all.sort_by(|(one, _), (other, _)| one.cmp(other));
            let known = all.into_iter().filter(|(_, wire)| !is_unknown(&inner.kind, wire));
            let entry = |(name, wire): (MapKey, Wire)| {
                Ok((value(key, name.into(), budget)?, value(inner, wire, budget)?))
            };
            Value::Map(known.map(entry).collect::<Result<_, DataError>>()?)
        }
        (Kind::Cycle, _) => {
            return Err(error("a message of a recursive type is inside of another one of it"));
        }
        (_, wire) => scalar(wire)?,
    })
}

/// A value whose schema follows from its type. Numbers of 64 bits without a sign get one, as in Java.
fn scalar(wire: Wire) -> Result<Value<'static>, DataError> {
    Ok(match wire {
        Wire::Bool(value) => Value::Bool(value),
        Wire::I32(number) => Value::Int(number.into()),
        Wire::U32(number) => Value::Int(number.into()),
        Wire::I64(number) => Value::Int(number),
        Wire::U64(number) => Value::Int(number.cast_signed()),
        Wire::F32(number) => Value::Single(number),
        Wire::F64(number) => Value::Double(number),
        Wire::String(text) => Value::Text(text.into()),
        Wire::Bytes(bytes) => Value::Bytes(Vec::from(bytes).into()),
        _ => return Err(error("a value of another type than its field")),
    })
}

/// The name of a number; Java's text for one that has none.
fn symbol(found: &EnumDescriptor, number: i32) -> Value<'static> {
    let named = found.values().find(|value| value.number() == number);
    Value::text(named.map_or_else(
        || format!("UNKNOWN_ENUM_VALUE_{}_{number}", found.name()),
        |value| value.name().to_owned(),
    ))
}

fn number(message: &DynamicMessage, name: &str) -> i64 {
    match message.get_field_by_name(name).as_deref() {
        Some(Wire::I32(number)) => (*number).into(),
        Some(Wire::U32(number)) => (*number).into(),
        Some(Wire::I64(number)) => *number,
        _ => 0,
    }
}

fn decimal(message: &DynamicMessage) -> Result<Value<'static>, DataError> {
    let unscaled = message.get_field_by_name("value");
    let unscaled =
        unscaled.as_deref().and_then(Wire::as_bytes).map(|bytes| bytes.to_vec()).unwrap_or_default();
    let scale = i32::try_from(number(message, "scale")).unwrap_or(i32::MAX);
    if unscaled.is_empty()
        || unscaled.len() > LONGEST_DECIMAL
        || scale.unsigned_abs() > LARGEST_SCALE.unsigned_abs()
    {
        return Err(error("a decimal without digits, of more than 512 bytes, or with a large scale"));
    }
    Ok(Value::Decimal(Decimal { unscaled, scale }))
}

fn date(message: &DynamicMessage) -> Result<Value<'static>, DataError> {
    let [year, month, day] = ["year", "month", "day"].map(|name| number(message, name));
    let exists = (1..=9_999).contains(&year) && (1..=calendar::days_in(year, month)).contains(&day);
    match exists {
        true => Ok(Value::Int(calendar::days(year, month, day))),
        false => Err(error("a date that does not exist")),
    }
}

fn time(message: &DynamicMessage) -> Result<Value<'static>, DataError> {
    let [hours, minutes, seconds, nanos] =
        ["hours", "minutes", "seconds", "nanos"].map(|name| number(message, name));
    let is_time = (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds)
        && (0..1_000_000_000).contains(&nanos);
    match is_time {
        true => Ok(Value::Int(((hours * 60 + minutes) * 60 + seconds) * 1_000 + nanos / 1_000_000)),
        false => Err(error("a time of day that does not exist")),
    }
}

/// From the year 1 to 9999.
fn timestamp(message: &DynamicMessage) -> Result<Value<'static>, DataError> {
    let (seconds, nanos) = (number(message, "seconds"), number(message, "nanos"));
    let is_valid =
        (-62_135_596_800..=253_402_300_799).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    match is_valid {
        true => Ok(Value::Int(seconds * 1_000 + nanos / 1_000_000)),
        false => Err(error("a timestamp that does not exist")),
    }
}
