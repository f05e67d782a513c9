//! Aiven's `Hash`: the digest of a text in hexadecimal. Anyone with a list of possible values can find the one that was
//! hashed, so that `aqueduct.hash=hmac` makes the pseudonym of [`connector::keyring`] instead.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use connector::keyring::Keyring;
use event::EventTime;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::{Built, Options, Part, Plugin, Transform, Verdict};
use crate::{
    data::{DataError, Datum, Record, Type, Value},
    define::{Importance, Key, Kind},
};

const STEP: &str = "Hash";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "io.aiven.kafka.connect.transforms.Hash",
    has_parts: true,
    keys: || {
        vec![
            Key::new("field.name", Kind::String)
                .optional()
                .importance(Importance::High)
                .doc("The field to hash. Without it the whole key or value is hashed, which must be text."),
            Key::new("skip.missing.or.null", Kind::Boolean)
                .with_default("false")
                .importance(Importance::Low)
                .doc("Whether a record without the field, or with null in it, passes unchanged."),
            Key::new("function", Kind::String)
                .one_of(&["md5", "sha1", "sha256"])
                .importance(Importance::High)
                .doc("md5, sha1 or sha256. aqueduct.hash=hmac takes the place of each."),
        ]
    },
    build,
    protects: |_| true,
};

enum Function {
    Md5,
    Sha1,
    Sha256,
    Hmac(Arc<Keyring>),
}

struct Hash {
    part: Part,
    field: Option<String>,
    skips: bool,
    function: Function,
}

fn build(options: &Options<'_>) -> Built {
    let function = match options.text("function") {
        _ if options.is_hmac => Function::Hmac(keyring(options).map_err(|problem| ("function", problem))?),
        Some("md5") => Function::Md5,
        Some("sha1") => Function::Sha1,
        _ => Function::Sha256,
    };
    let field = options.text("field.name").filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(Box::new(Hash { part: options.part, field, skips: options.is_true("skip.missing.or.null"), function }))
}

/// The keyring of the connector.
pub(crate) fn keyring(options: &Options<'_>) -> Result<Arc<Keyring>, String> {
    let path = options.keyring.ok_or("aqueduct.keyring is missing; create one with `aqueduct keys new`")?;
    let loaded = Keyring::load(path.as_ref());
    loaded.map(Arc::new).map_err(|error| format!("aqueduct.keyring: {error}"))
}

impl Transform for Hash {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let timestamp = record.timestamp;
        let datum = self.part.of(record);
        let Some(value) = self.find(datum)? else { return Ok(Verdict::Keep) };
        match value {
            Value::Text(text) => *text = Cow::Owned(self.function.of(text, timestamp)),
            Value::Null if self.skips => {}
            Value::Null => return Err(DataError::new(STEP, "null, and skip.missing.or.null is false")),
            other => {
                let found = other.type_name();
                return Err(DataError::new(STEP, format!("expected a string and found {found}")));
            }
        }
        Ok(Verdict::Keep)
    }
}

impl Hash {
    /// What is hashed; `None` if it is missing and may be.
    fn find<'r, 'a>(&self, datum: &'r mut Datum<'a>) -> Result<Option<&'r mut Value<'a>>, DataError> {
        let Some(name) = &self.field else { return Ok(Some(&mut datum.value)) };
        let missing = || match self.skips {
            true => Ok(None),
            false => Err(DataError::new(STEP, format!("the field {name:?} is missing"))),
        };
        match datum {
            Datum { schema: Some(schema), value: Value::Struct(values) } => match schema.place(name) {
                None => missing(),
                Some(place) if schema.fields[place].schema.kind != Type::String => {
                    Err(DataError::new(STEP, format!("the field {name:?} is not a string")))
                }
                Some(place) => Ok(Some(&mut values[place])),
            },
            Datum { value: Value::Object(members), .. } => {
                let found = members.iter_mut().find(|member| member.name == *name);
                found.map_or_else(missing, |member| Ok(Some(&mut member.value)))
            }
            other => {
                let found = other.value.type_name();
                Err(DataError::new(STEP, format!("expected a struct or an object and found {found}")))
            }
        }
    }
}

impl Function {
    fn of(&self, text: &str, timestamp: Option<i64>) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha1 => hex(&Sha1::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Hmac(keyring) => {
                let key = keyring.key_at(EventTime(timestamp.unwrap_or_default()));
                String::from_utf8_lossy(&key.pseudonym(text)).into_owned()
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
