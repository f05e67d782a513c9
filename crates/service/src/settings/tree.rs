//! The configuration as a tree in which values and keys know their origin.
//!
//! Untyped: `read` decides what a value is read into. Nothing here prints a value, because it may be a secret.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{
    key::{Key, Segment},
    repair::{OMITTED, repair},
};

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
    /// Rejected before, or not valid TOML: skipped while the values beside it are read.
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

/// An error in a document.
pub(crate) struct Failure {
    pub(crate) origin: Origin,
    /// The key whose value it concerns, if it has one.
    pub(crate) key: Option<Key>,
    pub(crate) problem: String,
}

/// Parses a document. What has an error is omitted.
pub(crate) fn parse(text: &str) -> (Table, Vec<Failure>) {
    let (text, errors) = repair(text);
    let lines = Lines::new(&text);
    let (document, _) = DeTable::parse_recoverable(&text);
    let mut reader = Reader { place: &|offset| lines.origin(offset), failures: Vec::new() };
    let root = reader.table(document.into_inner());
    let syntax = errors.into_iter().map(|error| Failure {
        origin: Origin::Line(error.line + 1),
        key: root.omitted_on(error.statement + 1),
        problem: format!("invalid TOML: {}", error.problem),
    });
    let mut failures: Vec<Failure> = syntax.collect();
    failures.extend(reader.failures.into_iter().map(|(origin, problem)| {
        let key = match origin {
            Origin::Line(line) => root.omitted_on(line),
            Origin::Variable(_) | Origin::File => None,
        };
        Failure { origin, key, problem }
    }));
    (root, failures)
}

/// Parses one value, such as `["a", "b"]`, with `origin` as the origin of all its parts.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Result<Node, String> {
    let value = DeValue::parse(text.trim()).map_err(|error| error.message().to_owned())?;
    let mut reader = Reader { place: &|_| origin.clone(), failures: Vec::new() };
    let node = reader.node(value);
    reader.failures.pop().map_or(Ok(node), |(_, problem)| Err(problem))
}

/// Converts values, and collects the places and problems of those that cannot be kept.
struct Reader<'a> {
    place: &'a dyn Fn(usize) -> Origin,
    failures: Vec<(Origin, String)>,
}

impl Reader<'_> {
    fn table(&mut self, table: DeTable<'_>) -> Table {
        let entry = |(key, value): (toml::Spanned<_>, _)| {
            let origin = (self.place)(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            Entry { key: key.into_owned(), origin, node: self.node(value) }
        };
        Table { entries: table.into_iter().map(entry).collect() }
    }

    fn node(&mut self, value: toml::Spanned<DeValue<'_>>) -> Node {
        let origin = (self.place)(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) if text == OMITTED => Value::Omitted,
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => self.fail(&origin, "a number exceeds 64 bits"),
            },
            DeValue::Float(float) => {
                let value: f64 = float.as_str().parse().expect("a TOML float parses as a Rust float");
                if value.is_finite() && digits(float.as_str()) != digits(&format!("{value:e}")) {
                    self.fail(
                        &origin,
                        "a number has more digits than can be kept; write at most 15, or an integer",
                    )
                } else {
                    Value::Float(value)
                }
            }
            DeValue::Array(list) => Value::List(list.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(inner) => Value::Table(self.table(inner)),
        };
        Node { origin, value }
    }

    fn fail(&mut self, origin: &Origin, problem: &str) -> Value {
        self.failures.push((origin.clone(), problem.to_owned()));
        Value::Omitted
    }
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

    /// As [`Table::omitted_on`].
    fn omitted_on(&self, line: usize) -> Option<Key> {
        match &self.value {
            Value::Omitted => (self.origin == Origin::Line(line)).then(Key::default),
            Value::Table(table) => table.omitted_on(line),
            Value::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                let Key(rest) = item.omitted_on(line)?;
                Some(Key(std::iter::once(Segment::Index(index)).chain(rest).collect()))
            }),
            _ => None,
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

    /// The key whose value on this line is omitted.
    fn omitted_on(&self, line: usize) -> Option<Key> {
        let below =
            |entry: &Entry| entry.node.omitted_on(line).map(|path| (Segment::Key(entry.key.clone()), path));
        let (first, rest) = self.entries.iter().find_map(below)?;
        Some(Key(std::iter::once(first).chain(rest.0).collect()))
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
