//! The schema of a key or value.

use std::sync::Arc;

use super::Value;

/// The type of a value with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One byte.
    Int8,
    /// Two bytes.
    Int16,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
    /// Four bytes.
    Float32,
    /// Eight bytes.
    Float64,
    /// True or false.
    Boolean,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Values of one schema.
    Array,
    /// Keys and values, each of one schema.
    Map,
    /// Named fields.
    Struct,
}

/// Names of schemas whose values have another meaning than their type.
pub mod logical {
    /// Days since 1970, as an `int32`.
    pub const DATE: &str = "org.apache.kafka.connect.data.Date";
    /// Milliseconds of a day, as an `int32`.
    pub const TIME: &str = "org.apache.kafka.connect.data.Time";
    /// Milliseconds since 1970, as an `int64`.
    pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
    /// An exact number, as `bytes`.
    pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
}

/// A schema. Values refer to it by [`Arc`], and transforms recognise one that they have changed before by its address.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The type of its values.
    pub kind: Type,
    /// Whether null is allowed.
    pub is_optional: bool,
    /// Its name.
    pub name: Option<String>,
    /// What null becomes where defaults replace nulls.
    pub default: Option<Value<'static>>,
    /// Digits after the point, of a decimal.
    pub scale: i32,
    /// The fields of a struct. Set them with [`Schema::with_fields`].
    pub fields: Vec<Field>,
    /// The places of the fields by their names.
    pub(crate) by_name: Vec<u32>,
    /// The keys of a map.
    pub keys: Option<Arc<Schema>>,
    /// The values of a map or an array.
    pub values: Option<Arc<Schema>>,
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// The schema of its values.
    pub schema: Arc<Schema>,
}

impl Schema {
    /// A required value of a type.
    pub fn of(kind: Type) -> Self {
        Self {
            kind,
            is_optional: false,
            name: None,
            default: None,
            scale: 0,
            fields: Vec::new(),
            by_name: Vec::new(),
            keys: None,
            values: None,
        }
    }

    /// The same, and null is allowed.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// A struct of these fields that is the same in everything else.
    #[must_use]
    pub fn with_fields(&self, fields: Vec<Field>) -> Self {
        let mut by_name: Vec<u32> = (0..fields.len() as u32).collect();
        by_name.sort_by(|a, b| fields[*a as usize].name.cmp(&fields[*b as usize].name));
        Self { fields, by_name, ..self.clone() }
    }

    /// The place of a field.
    pub fn place(&self, name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|place| (*self.fields[*place as usize].name).cmp(name));
        found.ok().map(|found| self.by_name[found] as usize)
    }

    /// Whether its values are dates or times.
    pub fn is_temporal(&self) -> bool {
        matches!(self.kind, Type::Int32 | Type::Int64)
            && [logical::DATE, logical::TIME, logical::TIMESTAMP].iter().any(|name| self.is_named(name))
    }

    /// Whether it has this logical name.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}
