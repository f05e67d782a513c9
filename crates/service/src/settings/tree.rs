//! The configuration as a tree in which values and keys know their origin.
//!
//! Untyped: `read` decides what a value is read into. Nothing here prints a value, because it may be a secret.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::key::{Key, Segment};

/// Where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On this line of the file, from 1.
    Line(usize),
    /// In this variable of the environment.
    Variable(Arc<str>),
    /// No specific place: the root, and tables that overrides imply.
    File,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

#[derive(Clone)]
pub(crate) enum Value {
    /// A TOML string.
    Text(String),
    /// A date or time without quotes, as it is written.
    Time(String),
    /// The content of a variable, which takes the type of its key.
    Untyped(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Rejected before: skipped while the values beside it are read.
    Omitted,
}

#[derive(Clone, Default)]
pub(crate) struct Table {
    /// In the order of the file.
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

/// Parses a document; the error is the place and the problem.
pub(crate) fn parse(text: &str) -> Result<Table, (Origin, String)> {
    let lines = Lines::new(text);
    let document = DeTable::parse(text).map_err(|error| {
        let origin = error.span().map_or(Origin::File, |span| lines.origin(span.start));
        (origin, format!("invalid TOML: {}", error.message()))
    })?;
    table(document.into_inner(), &|offset| lines.origin(offset))
}

/// Parses one value, such as `["a", "b"]`, with `origin` as the origin of all its parts.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Result<Node, String> {
    let value = DeValue::parse(text.trim()).map_err(|error| error.message().to_owned())?;
    node(value, &|_| origin.clone()).map_err(|(_, problem)| problem)
}

type Place<'a> = &'a dyn Fn(usize) -> Origin;
type Failure = (Origin, String);

fn table(table: DeTable<'_>, place: Place<'_>) -> Result<Table, Failure> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let origin = place(key.span().start);
        entries.push(Entry { key: key.into_inner().into_owned(), origin, node: node(value, place)? });
    }
    Ok(Table { entries })
}

fn node(value: toml::Spanned<DeValue<'_>>, place: Place<'_>) -> Result<Node, Failure> {
    let origin = place(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => return Err((origin, "a number exceeds 64 bits".to_owned())),
        },
        DeValue::Float(float) => {
            let value: f64 = float.as_str().parse().expect("a TOML float parses as a Rust float");
            if value.is_finite() && digits(float.as_str()) != digits(&format!("{value:e}")) {
                let problem = "a number has more digits than can be kept; write at most 15, or an integer";
                return Err((origin, problem.to_owned()));
            }
            Value::Float(value)
        }
        DeValue::Array(list) => {
            Value::List(list.into_iter().map(|item| node(item, place)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(inner) => Value::Table(table(inner, place)?),
    };
    Ok(Node { origin, value })
}

/// The significant digits of a number.
fn digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

impl Node {
    pub(crate) fn is_omitted(&self) -> bool {
        matches!(self.value, Value::Omitted)
    }

    /// Omits the innermost value on a path. Returns `false` if that is all of the node.
    pub(crate) fn omit(&mut self, path: &[Segment]) -> bool {
        let inner = match (path.first(), &mut self.value) {
            (Some(Segment::Key(name)), Value::Table(table)) => {
                table.entries.iter_mut().find(|entry| entry.key == *name).map(|entry| &mut entry.node)
            }
            (Some(Segment::Index(index)), Value::List(items)) => items.get_mut(*index),
            _ => None,
        };
        match inner.filter(|inner| !inner.is_omitted()) {
            Some(inner) => {
                if !inner.omit(&path[1..]) {
                    inner.value = Value::Omitted;
                }
                true
            }
            None => false,
        }
    }

    /// Whether this value or a part of it is omitted.
    pub(crate) fn has_omitted(&self) -> bool {
        match &self.value {
            Value::Omitted => true,
            Value::List(items) => items.iter().any(Self::has_omitted),
            Value::Table(table) => table.entries.iter().any(|entry| entry.node.has_omitted()),
            _ => false,
        }
    }

    /// The part at a path.
    pub(crate) fn at(&self, path: &[Segment]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let inner = match (first, &self.value) {
            (Segment::Key(name), Value::Table(table)) => table.get(name).map(|entry| &entry.node),
            (Segment::Index(index), Value::List(items)) => items.get(*index),
            _ => None,
        };
        inner?.at(rest)
    }
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether there is a value of this key.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let Some((Segment::Key(first), rest)) = key.0.split_first() else { return false };
        self.get(first).is_some_and(|entry| entry.node.at(rest).is_some())
    }

    /// Where a key is written, or the nearest enclosing one.
    pub(crate) fn origin_of(&self, key: &Key) -> Origin {
        let mut nearest = Origin::File;
        let Some((Segment::Key(first), rest)) = key.0.split_first() else {
            return nearest;
        };
        let Some(entry) = self.get(first) else {
            return nearest;
        };
        nearest.narrow(&entry.origin);
        let mut node = &entry.node;
        for segment in rest {
            match (segment, &node.value) {
                (Segment::Key(name), Value::Table(table)) => {
                    let Some(entry) = table.get(name) else { break };
                    nearest.narrow(&entry.origin);
                    node = &entry.node;
                }
                (Segment::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    nearest.narrow(&item.origin);
                    node = item;
                }
                _ => break,
            }
        }
        nearest
    }
}

impl Origin {
    /// Moves to a part of the value, if there is one.
    fn narrow(&mut self, inner: &Self) {
        if *inner != Self::File {
            *self = inner.clone();
        }
    }
}

/// Converts byte offsets to lines.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::Line(self.starts.partition_point(|start| *start <= offset))
    }
}
