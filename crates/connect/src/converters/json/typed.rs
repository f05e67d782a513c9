//! A payload with its schema.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use event::json::{Scanner, Token};

use super::{error, malformed};
use crate::data::{Budget, DataError, Decimal, Schema, Type, Value, logical};

/// The payload as its schema describes it.
pub(super) fn payload<'a>(
    bytes: &'a [u8],
    schema: &Schema,
    replaces_nulls: bool,
) -> Result<Value<'a>, DataError> {
    let bytes = event::json::without_byte_order_mark(bytes);
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        let mut scanner = Scanner::object(bytes).map_err(|error| malformed(&error))?;
        let mut reader = Reader { scanner: &mut scanner, replaces_nulls, budget: Budget::new() };
        let value = reader.read(Token::Object, schema)?;
        scanner.finish().map_err(|error| malformed(&error))?;
        return Ok(value);
    }
    owned_with(bytes, schema, replaces_nulls)
}

/// A value that borrows nothing, such as a default.
pub(super) fn owned(bytes: &[u8], schema: &Schema) -> Result<Value<'static>, DataError> {
    owned_with(bytes, schema, true)
}

/// The scanner reads objects only, so that another value is put into one.
fn owned_with(bytes: &[u8], schema: &Schema, replaces_nulls: bool) -> Result<Value<'static>, DataError> {
    let wrapped = [b"{\"\":", bytes, b"}"].concat();
    let mut scanner = Scanner::object(&wrapped).map_err(|error| malformed(&error))?;
    let mut value = Value::Null;
    let mut members = 0;
    while scanner.next_member().map_err(|error| malformed(&error))?.is_some() {
        members += 1;
        let token = scanner.value().map_err(|error| malformed(&error))?;
        let mut reader = Reader { scanner: &mut scanner, replaces_nulls, budget: Budget::new() };
        value = reader.read(token, schema)?;
    }
    scanner.finish().map_err(|error| malformed(&error))?;
    if members == 1 { Ok(value.into_owned()) } else { Err(error("invalid JSON")) }
}

struct Reader<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    replaces_nulls: bool,
    budget: Budget,
}

impl<'a> Reader<'_, 'a> {
    fn next(&mut self, schema: &Schema) -> Result<Value<'a>, DataError> {
        let token = self.scanner.value().map_err(|error| malformed(&error))?;
        self.read(token, schema)
    }

    fn read(&mut self, token: Token<'a>, schema: &Schema) -> Result<Value<'a>, DataError> {
        match (schema.kind, token) {
            (_, Token::Null) => self.null(schema),
            (Type::Boolean, Token::True) => Ok(Value::Bool(true)),
            (Type::Boolean, Token::False) => Ok(Value::Bool(false)),
            (Type::Int8, Token::Number(text)) => integer::<i8>(text),
            (Type::Int16, Token::Number(text)) => integer::<i16>(text),
            (Type::Int32, Token::Number(text)) => integer::<i32>(text),
            (Type::Int64, Token::Number(text)) => integer::<i64>(text),
            (Type::Float32, Token::Number(text)) => {
                text.parse().map(Value::Single).map_err(|_| mismatch(schema))
            }
            (Type::Float64, Token::Number(text)) => {
                text.parse().map(Value::Double).map_err(|_| mismatch(schema))
            }
            (Type::String, Token::Text(text)) => Ok(Value::Text(text.decode())),
            (Type::Bytes, Token::Text(text)) => {
                let bytes =
                    STANDARD.decode(text.decode().as_bytes()).map_err(|_| error("bytes must be base64"))?;
                self.bytes(bytes, schema)
            }
            (Type::Bytes, Token::Number(text)) if schema.is_named(logical::DECIMAL) => decimal(text),
            (Type::Array, Token::Array) => self.array(schema),
            (Type::Map, Token::Object | Token::Array) => self.map(token, schema),
            (Type::Struct, Token::Object) => self.fields(schema),
            _ => Err(mismatch(schema)),
        }
    }

    fn null(&mut self, schema: &Schema) -> Result<Value<'a>, DataError> {
        match &schema.default {
            Some(default) if self.replaces_nulls => {
                self.budget.copy(default)?;
                Ok(default.clone())
            }
            _ if schema.is_optional => Ok(Value::Null),
            _ => Err(error(format!("null or no value for a required {}", name(schema.kind)))),
        }
    }

    fn bytes(&self, bytes: Vec<u8>, schema: &Schema) -> Result<Value<'a>, DataError> {
        if !schema.is_named(logical::DECIMAL) {
            return Ok(Value::Bytes(Cow::Owned(bytes)));
        }
        // More digits take quadratic time to write.
        if bytes.len() > 512 {
            return Err(error("a decimal of more than 512 bytes"));
        }
        Ok(Value::Decimal(Decimal { unscaled: bytes, scale: schema.scale }))
    }

    fn array(&mut self, schema: &Schema) -> Result<Value<'a>, DataError> {
        let inner = schema.values.clone().ok_or_else(|| mismatch(schema))?;
        let mut values = Vec::new();
        while self.scanner.next_element().map_err(|error| malformed(&error))? {
            self.budget.values(1)?;
            values.push(self.next(&inner)?);
        }
        Ok(Value::List(values))
    }

    /// Maps with text keys are objects, all others arrays of pairs.
    fn map(&mut self, token: Token<'a>, schema: &Schema) -> Result<Value<'a>, DataError> {
        let (Some(keys), Some(values)) = (schema.keys.clone(), schema.values.clone()) else {
            return Err(mismatch(schema));
        };
        let mut entries = Vec::new();
        match token {
            Token::Object if keys.kind == Type::String => {
                while let Some(member) = self.scanner.next_member().map_err(|error| malformed(&error))? {
                    self.budget.values(2)?;
                    let name = Value::Text(member.name.decode());
                    entries.push((name, self.next(&values)?));
                }
            }
            Token::Array if keys.kind != Type::String => {
                let pair = "a map with keys that are not text must be an array of pairs";
                while self.scanner.next_element().map_err(|error| malformed(&error))? {
                    let is_array = self.scanner.value().map_err(|error| malformed(&error))? == Token::Array;
                    let mut element = || match is_array {
                        true => self.scanner.next_element().map_err(|error| malformed(&error)),
                        false => Err(error(pair)),
                    };
                    if !element()? {
                        return Err(error(pair));
                    }
                    self.budget.values(2)?;
                    let key = self.next(&keys)?;
                    if !self.scanner.next_element().map_err(|error| malformed(&error))? {
                        return Err(error(pair));
                    }
                    let value = self.next(&values)?;
                    if self.scanner.next_element().map_err(|error| malformed(&error))? {
                        return Err(error(pair));
                    }
                    entries.push((key, value));
                }
            }
            _ => return Err(mismatch(schema)),
        }
        Ok(Value::Map(entries))
    }

    fn fields(&mut self, schema: &Schema) -> Result<Value<'a>, DataError> {
        self.budget.values(2 * schema.fields.len())?;
        let mut values: Vec<Option<Value<'a>>> = vec![None; schema.fields.len()];
        let mut expected = 0;
        while let Some(member) = self.scanner.next_member().map_err(|error| malformed(&error))? {
            let name = member.name.decode();
            // Usually in the order of the schema.
            let place = match schema.fields.get(expected) {
                Some(field) if *field.name == *name => Some(expected),
                _ => schema.place(&name),
            };
            match place {
                Some(place) => {
                    values[place] = Some(self.next(&schema.fields[place].schema)?);
                    expected = place + 1;
                }
                None => self.scanner.skip_value().map_err(|error| malformed(&error))?,
            }
        }
        let missing = |(place, value): (usize, Option<Value<'a>>)| match value {
            Some(value) => Ok(value),
            None => self.null(&schema.fields[place].schema),
        };
        values.into_iter().enumerate().map(missing).collect::<Result<_, _>>().map(Value::Struct)
    }
}

fn integer<T: TryFrom<i64>>(text: &str) -> Result<Value<'static>, DataError> {
    let number: Option<i64> = text.parse().ok();
    let fits = number.filter(|number| T::try_from(*number).is_ok());
    fits.map(Value::Int).ok_or_else(|| error("a number that does not fit its type"))
}

/// A decimal as a number; `None` if it is not one.
pub(crate) fn decimal_of(text: &str) -> Option<Value<'static>> {
    decimal(text).ok()
}

/// A decimal as a number: its scale is that of its text.
fn decimal(text: &str) -> Result<Value<'static>, DataError> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unscaled: Option<i128> = format!("{whole}{fraction}").parse().ok();
    let scale =
        exponent.parse::<i32>().ok().map(|exponent| i64::from(fraction.len() as u32) - i64::from(exponent));
    match (unscaled, scale) {
        (Some(unscaled), Some(scale)) if (-1_000..=1_000).contains(&scale) => {
            let scale = scale as i32;
            Ok(Value::Decimal(Decimal { unscaled: unscaled.to_be_bytes().to_vec(), scale }))
        }
        _ => Err(error("a decimal of more than 38 digits")),
    }
}

fn mismatch(schema: &Schema) -> DataError {
    error(format!("a value that is not {} as its schema says", name(schema.kind)))
}

fn name(kind: Type) -> &'static str {
    match kind {
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Float32 => "float",
        Type::Float64 => "double",
        Type::Boolean => "boolean",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Array => "array",
        Type::Map => "map",
        Type::Struct => "struct",
    }
}
