//! The message that Google's sink makes of a record.

use std::borrow::Cow;

use crate::{
    data::{DataError, Datum, Record, Schema, Type, Value, text, write_json},
    define::Values,
};

const STEP: &str = "CloudPubSubSink";
/// The name of the attribute for the Kafka key.
const KEY: &str = "key";
/// Pub/Sub takes no more attributes.
const MAX_ATTRIBUTES: usize = 100;
/// The sink leaves out longer headers, and headers after this number.
const HEADER_NAME: usize = 256;
const HEADER_VALUE: usize = 1_024;
const HEADERS: usize = 101;

/// Which parts of a record become which parts of a message.
#[derive(Clone, Debug)]
pub struct Layout {
    body: String,
    with_metadata: bool,
    /// Names of headers that are published; `None` for none.
    headers: Option<HeaderNames>,
    ordering: Ordering,
}

#[derive(Clone, Debug)]
enum HeaderNames {
    All,
    Only(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ordering {
    None,
    Key,
    Partition,
}

/// The parts of a message. It has no `Debug`, because it can be personal data.
pub(crate) struct Parts<'r> {
    pub(crate) data: Cow<'r, [u8]>,
    pub(crate) attributes: Vec<(Cow<'r, str>, Cow<'r, str>)>,
    pub(crate) ordering_key: Cow<'r, str>,
}

impl Layout {
    /// The layout of a valid configuration.
    pub fn of(values: &Values) -> Self {
        let names = values.list("aqueduct.headers");
        let headers = match values.is_true("headers.publish") {
            false => None,
            true if names == ["*"] => Some(HeaderNames::All),
            true => Some(HeaderNames::Only(names)),
        };
        Self {
            body: values.text("messageBodyName").unwrap_or_default().to_owned(),
            with_metadata: values.is_true("metadata.publish"),
            headers,
            ordering: match values.text("orderingKeySource") {
                Some("key") => Ordering::Key,
                Some("partition") => Ordering::Partition,
                _ => Ordering::None,
            },
        }
    }

    /// Whether it reads headers.
    pub fn needs_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Whether messages have ordering keys.
    pub fn is_ordered(&self) -> bool {
        self.ordering != Ordering::None
    }

    /// The parts of the message for a record, whose key is `key` if it may be published. `None` if the record has neither
    /// a value nor attributes.
    ///
    /// # Errors
    /// If the sink cannot send the value.
    pub(crate) fn parts<'r>(
        &self,
        record: &'r Record<'_>,
        key: Option<&'r str>,
        json: &'r mut Vec<u8>,
    ) -> Result<Option<Parts<'r>>, DataError> {
        // There is room for the metadata.
        let mut attributes = Vec::with_capacity(8);
        let data = self.value(&record.value, &mut attributes, json)?;
        if let Some(key) = key {
            put(&mut attributes, Cow::Borrowed(KEY), Cow::Borrowed(key))?;
        }
        let mut number = itoa::Buffer::new();
        if self.with_metadata {
            put(&mut attributes, "kafka.topic".into(), Cow::Borrowed(&record.topic))?;
            put(
                &mut attributes,
                "kafka.partition".into(),
                number.format(record.partition).to_owned().into(),
            )?;
            put(&mut attributes, "kafka.offset".into(), number.format(record.offset).to_owned().into())?;
            if let Some(timestamp) = record.timestamp {
                put(&mut attributes, "kafka.timestamp".into(), number.format(timestamp).to_owned().into())?;
            }
        }
        self.add_headers(record, &mut attributes)?;
        let Some(data) = data.or_else(|| (!attributes.is_empty()).then_some(Cow::Borrowed(&b""[..]))) else {
            return Ok(None);
        };
        let ordering_key = match self.ordering {
            Ordering::Key => Cow::Borrowed(key.unwrap_or_default()),
            Ordering::Partition => Cow::Owned(number.format(record.partition).to_owned()),
            Ordering::None => Cow::Borrowed(""),
        };
        Ok(Some(Parts { data, attributes, ordering_key }))
    }

    /// The data and the attributes of a value alone.
    pub(crate) fn value_of(
        &self,
        record: &Record<'_>,
    ) -> Result<crate::pipeline::DataAndAttributes, DataError> {
        let (mut attributes, mut json) = (Vec::new(), Vec::new());
        let data = self.value(&record.value, &mut attributes, &mut json)?.map(Cow::into_owned);
        let owned = attributes.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
        Ok((data, owned.collect()))
    }

    fn add_headers<'r>(
        &self,
        record: &'r Record<'_>,
        attributes: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
    ) -> Result<(), DataError> {
        let Some(names) = &self.headers else { return Ok(()) };
        let passes = |name: &str| match names {
            HeaderNames::All => true,
            HeaderNames::Only(names) => names.iter().any(|known| known == name),
        };
        let short = record
            .headers
            .iter()
            .filter_map(|(name, value)| Some((&**name, String::from_utf8_lossy((*value)?))));
        let short = short.filter(|(name, value)| name.len() <= HEADER_NAME && value.len() <= HEADER_VALUE);
        for (name, value) in short.filter(|(name, _)| passes(name)).take(HEADERS) {
            put(attributes, Cow::Borrowed(name), value)?;
        }
        Ok(())
    }

    /// The data of the message; `None` if there is no value.
    fn value<'r>(
        &self,
        datum: &'r Datum<'_>,
        attributes: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
        json: &'r mut Vec<u8>,
    ) -> Result<Option<Cow<'r, [u8]>>, DataError> {
        let Some(schema) = &datum.schema else {
            return Ok(match &datum.value {
                Value::Null => None,
                Value::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
                value => {
                    json.clear();
                    write_json(value, None, json);
                    Some(Cow::Borrowed(json))
                }
            });
        };
        match &datum.value {
            Value::Null => Ok(None),
            Value::Struct(values) => self.fields(schema, values, attributes).map(Some),
            Value::Map(entries) => self.entries(schema, entries, attributes).map(Some),
            value => scalar(schema, value).map(Some),
        }
    }

    fn fields<'r>(
        &self,
        schema: &'r Schema,
        values: &'r [Value<'_>],
        attributes: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
    ) -> Result<Cow<'r, [u8]>, DataError> {
        let mut body = Cow::Borrowed(&b""[..]);
        for (field, value) in schema.fields.iter().zip(values) {
            if matches!(field.schema.kind, Type::Map | Type::Struct) {
                return Err(refused("a struct with a map or a struct in it"));
            }
            // As reading the field of a struct does in Connect.
            let value = match (&field.schema.default, value.is_null()) {
                (Some(default), true) => default,
                _ => value,
            };
            if value.is_null() {
                if field.schema.is_optional {
                    continue;
                }
                return Err(refused("a struct without a required field"));
            }
            if *field.name == *self.body {
                body = scalar(&field.schema, value)?;
            } else {
                let text = match value {
                    Value::Text(text) => Cow::Borrowed(&**text),
                    value => Cow::Owned(text(value, Some(&field.schema))),
                };
                put(attributes, Cow::Borrowed(&field.name), text)?;
            }
        }
        Ok(body)
    }

    fn entries<'r>(
        &self,
        schema: &'r Schema,
        entries: &'r [(Value<'_>, Value<'_>)],
        attributes: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
    ) -> Result<Cow<'r, [u8]>, DataError> {
        let mut body = Cow::Borrowed(&b""[..]);
        for (key, value) in entries {
            if value.is_null() {
                return Err(refused("a map with a null in it"));
            }
            let text = Cow::Owned(text(value, schema.values.as_deref()));
            match key {
                Value::Text(name) if **name == *self.body => body = into_bytes(text),
                key => put(attributes, Cow::Owned(crate::data::text(key, schema.keys.as_deref())), text)?,
            }
        }
        Ok(body)
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The bytes of a value that is not a struct or a map.
fn scalar<'r>(schema: &Schema, value: &'r Value<'_>) -> Result<Cow<'r, [u8]>, DataError> {
    let bytes = match (schema.kind, value) {
        (Type::String, Value::Text(text)) => return Ok(Cow::Borrowed(text.as_bytes())),
        (Type::Bytes, Value::Bytes(bytes)) => return Ok(Cow::Borrowed(bytes)),
        (_, Value::Int(_)) if schema.is_temporal() => {
            return Err(refused("a date or a time as the whole value"));
        }
        (Type::Int8, Value::Int(number)) => (*number as i8).to_be_bytes().to_vec(),
        (Type::Int16, Value::Int(number)) => (*number as i16).to_be_bytes().to_vec(),
        (Type::Int32, Value::Int(number)) => (*number as i32).to_be_bytes().to_vec(),
        (Type::Int64, Value::Int(number)) => number.to_be_bytes().to_vec(),
        (Type::Float32, Value::Single(number)) => number.to_be_bytes().to_vec(),
        (Type::Float64, Value::Double(number)) => number.to_be_bytes().to_vec(),
        (Type::Boolean, Value::Bool(value)) => vec![u8::from(*value)],
        (Type::Array, _) => {
            return Err(refused("an array with a schema, which Google's sink cannot send either"));
        }
        (_, Value::Null) => return Err(refused("null")),
        _ => return Err(refused(value.type_name())),
    };
    Ok(Cow::Owned(bytes))
}

fn refused(what: &str) -> DataError {
    DataError::new(STEP, format!("cannot send {what}"))
}

/// Adds an attribute, or replaces the one of this name.
fn put<'r>(
    attributes: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
    name: Cow<'r, str>,
    value: Cow<'r, str>,
) -> Result<(), DataError> {
    if let Some(known) = attributes.iter_mut().find(|(known, _)| *known == name) {
        known.1 = value;
        return Ok(());
    }
    if attributes.len() == MAX_ATTRIBUTES {
        return Err(refused("more than 100 attributes"));
    }
    attributes.push((name, value));
    Ok(())
}
