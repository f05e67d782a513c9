//! A value, borrowed from the record as far as possible.

use std::{borrow::Cow, fmt};

/// A value of a key, a value, a field or an element. With a schema, the schema distinguishes an `int8` from an `int64`.
///
/// It has no content in its `Debug`, because it can be personal data.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A `float32`.
    Single(f32),
    /// A `float64`.
    Double(f64),
    /// An exact number.
    Decimal(Decimal),
    /// A number without a schema, as JSON has it.
    Number(Cow<'a, str>),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A JSON object or array without a schema, unparsed. It is valid JSON.
    Json(Cow<'a, str>),
    /// A JSON object without a schema.
    Object(Vec<Member<'a>>),
    /// Elements of an array with a schema.
    List(Vec<Value<'a>>),
    /// Entries of a map with a schema.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// The fields of a struct, in the order of its schema.
    Struct(Vec<Value<'a>>),
}

/// A member of a JSON object. A name occurs once.
#[derive(Clone, PartialEq)]
pub struct Member<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

/// `unscaled` times ten to the power of minus `scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Two's complement, most significant byte first.
    pub unscaled: Vec<u8>,
    /// Digits after the point.
    pub scale: i32,
}

impl<'a> Value<'a> {
    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The name of its type, for errors.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Single(_) | Self::Double(_) | Self::Decimal(_) | Self::Number(_) => {
                "a number"
            }
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Json(text) if text.starts_with('{') => "an object",
            Self::Json(_) | Self::List(_) => "an array",
            Self::Object(_) | Self::Map(_) => "an object",
            Self::Struct(_) => "a struct",
        }
    }
}

impl Value<'_> {
    /// The same, without a reference to the record.
    pub fn into_owned(self) -> Value<'static> {
        let list = |values: Vec<Value<'_>>| values.into_iter().map(Value::into_owned).collect();
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(number) => Value::Int(number),
            Self::Single(number) => Value::Single(number),
            Self::Double(number) => Value::Double(number),
            Self::Decimal(decimal) => Value::Decimal(decimal),
            Self::Number(text) => Value::Number(Cow::Owned(text.into_owned())),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
            Self::Object(members) => Value::Object(members.into_iter().map(Member::into_owned).collect()),
            Self::List(values) => Value::List(list(values)),
            Self::Struct(values) => Value::Struct(list(values)),
            Self::Map(entries) => {
                let entry = |(key, value): (Value<'_>, Value<'_>)| (key.into_owned(), value.into_owned());
                Value::Map(entries.into_iter().map(entry).collect())
            }
        }
    }
}

impl Member<'_> {
    /// The same, without a reference to the record.
    pub fn into_owned(self) -> Member<'static> {
        Member { name: Cow::Owned(self.name.into_owned()), value: self.value.into_owned() }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member")
    }
}
