//! The plan of decoding: the types of a schema as nodes with indexes. A recursive type is an index that occurs again, and
//! output that does not depend on the record, such as names of fields, is prepared as bytes.

use std::{collections::BTreeMap, sync::Arc};

use apache_avro::{
    Schema,
    schema::{
        DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordField, RecordSchema,
        UuidSchema,
    },
};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::parse::TAGS;
use crate::{
    SchemaError,
    write::{self, Unit},
};

/// The tags of a field or a type.
pub(super) type Tags = Vec<Arc<str>>;

/// The index of a node.
pub(super) type NodeId = u32;

/// A range of [`Plan::members`], [`Plan::branches`] or [`Plan::symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// How a value is encoded, and what it is as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed { size: u32 },
    Enum { symbols: Span },
    Array { items: NodeId },
    Map { values: NodeId },
    Union { branches: Span },
    Record { members: Span },
    DecimalBytes { scale: u32 },
    DecimalFixed { scale: u32, size: u32 },
    BigDecimal,
    Uuid,
    Date,
    Time(Unit),
    Timestamp(Unit),
    LocalTimestamp(Unit),
    Duration,
}

/// A member of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The text before its value: a comma unless it is the first, its name, and a colon.
    pub(super) lead: Box<[u8]>,
    pub(super) node: NodeId,
}

/// The nodes of a schema.
#[derive(Debug)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    members: Vec<Member>,
    branches: Vec<NodeId>,
    symbols: Vec<Box<[u8]>>,
    pub(super) root: NodeId,
}

/// What only a list of fields needs.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// The names and tags of [`Plan::members`].
    members: Vec<(Box<str>, Tags)>,
    /// The tags of types.
    nodes: FxHashMap<NodeId, Tags>,
}

impl Plan {
    #[inline]
    pub(super) fn node(&self, id: NodeId) -> Node {
        self.nodes[id as usize]
    }

    #[inline]
    pub(super) fn members(&self, span: Span) -> &[Member] {
        &self.members[span.start as usize..span.end as usize]
    }

    #[inline]
    pub(super) fn branches(&self, span: Span) -> &[NodeId] {
        &self.branches[span.start as usize..span.end as usize]
    }

    #[inline]
    pub(super) fn symbols(&self, span: Span) -> &[Box<[u8]>] {
        &self.symbols[span.start as usize..span.end as usize]
    }

    /// The members of a record with their names and tags.
    pub(super) fn labelled<'p>(
        &'p self,
        span: Span,
        labels: &'p Labels,
    ) -> impl Iterator<Item = (&'p str, &'p Tags, NodeId)> {
        let labels = &labels.members[span.start as usize..span.end as usize];
        labels.iter().zip(self.members(span)).map(|((name, tags), member)| (&**name, tags, member.node))
    }
}

impl Labels {
    /// The tags of a type.
    pub(super) fn of_node(&self, id: NodeId) -> &[Arc<str>] {
        self.nodes.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Builds the plan of the last of several types, each of which may name types of those before it.
pub(super) fn plan(types: &[RecordField]) -> Result<(Plan, Labels), SchemaError> {
    let mut builder = Builder::default();
    let mut root = None;
    for parsed in types {
        root = Some(builder.node(&parsed.schema)?);
    }
    let root = root.ok_or_else(|| SchemaError("there is no schema".to_owned()))?;
    let Builder { nodes, members, branches, symbols, labels, .. } = builder;
    Ok((Plan { nodes, members, branches, symbols, root }, labels))
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    members: Vec<Member>,
    branches: Vec<NodeId>,
    symbols: Vec<Box<[u8]>>,
    labels: Labels,
    /// The types by their names and aliases.
    names: FxHashMap<String, NodeId>,
    /// The names without the aliases.
    definitions: FxHashSet<String>,
}

impl Builder {
    fn node(&mut self, schema: &Schema) -> Result<NodeId, SchemaError> {
        if let Schema::Ref { name } = schema {
            let name = name.fullname(None);
            return self
                .names
                .get(&name)
                .copied()
                .ok_or_else(|| SchemaError(format!("type {name:?} is not defined")));
        }
        if let Some(name) = schema.name() {
            let name = name.fullname(None);
            if !self.definitions.insert(name.clone()) {
                return Err(SchemaError(format!("type {name:?} is defined twice")));
            }
        }
        let id = index(self.nodes.len())?;
        // Its place is taken before its parts are built, which may refer to it.
        self.nodes.push(Node::Null);
        self.register(schema, id);
        self.label(schema, id);
        self.nodes[id as usize] = self.definition(schema)?;
        Ok(id)
    }

    fn definition(&mut self, schema: &Schema) -> Result<Node, SchemaError> {
        Ok(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            // The specification has no UUID over bytes.
            Schema::Bytes | Schema::Uuid(UuidSchema::Bytes) => Node::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::String,
            Schema::Fixed(fixed) => Node::Fixed { size: size(fixed) },
            Schema::Enum(definition) => Node::Enum { symbols: self.enumeration(definition)? },
            Schema::Array(array) => Node::Array { items: self.node(&array.items)? },
            Schema::Map(map) => Node::Map { values: self.node(&map.types)? },
            Schema::Union(union) => {
                let nodes =
                    union.variants().iter().map(|branch| self.node(branch)).collect::<Result<Vec<_>, _>>()?;
                Node::Union { branches: append(&mut self.branches, nodes)? }
            }
            Schema::Record(record) => Node::Record { members: self.record(record)? },
            Schema::Decimal(decimal) => decimal_node(decimal),
            Schema::BigDecimal => Node::BigDecimal,
            Schema::Uuid(UuidSchema::Fixed(_)) => Node::Uuid,
            Schema::Date => Node::Date,
            Schema::TimeMillis => Node::Time(Unit::Millis),
            Schema::TimeMicros => Node::Time(Unit::Micros),
            Schema::TimestampMillis => Node::Timestamp(Unit::Millis),
            Schema::TimestampMicros => Node::Timestamp(Unit::Micros),
            Schema::TimestampNanos => Node::Timestamp(Unit::Nanos),
            Schema::LocalTimestampMillis => Node::LocalTimestamp(Unit::Millis),
            Schema::LocalTimestampMicros => Node::LocalTimestamp(Unit::Micros),
            Schema::LocalTimestampNanos => Node::LocalTimestamp(Unit::Nanos),
            Schema::Duration(_) => Node::Duration,
            Schema::Ref { .. } => unreachable!("references were followed"),
        })
    }

    /// Notes the names by which later types refer to this one.
    fn register(&mut self, schema: &Schema, id: NodeId) {
        let Some(name) = schema.name() else { return };
        for alias in schema.aliases().into_iter().flatten() {
            self.names.entry(alias.fullname(name.namespace())).or_insert(id);
        }
        self.names.insert(Name::fullname(name, None), id);
    }

    fn label(&mut self, schema: &Schema, id: NodeId) {
        let tags = schema.custom_attributes().map(tags_in).unwrap_or_default();
        if !tags.is_empty() {
            self.labels.nodes.insert(id, tags);
        }
    }

    fn record(&mut self, record: &RecordSchema) -> Result<Span, SchemaError> {
        let nodes = record
            .fields
            .iter()
            .map(|field| self.node(&field.schema))
            .collect::<Result<Vec<_>, SchemaError>>()?;
        let members = record.fields.iter().zip(nodes).enumerate().map(|(index, (field, node))| {
            let mut lead = if index == 0 { Vec::new() } else { vec![b','] };
            write::string(&mut lead, field.name.as_bytes(), usize::MAX);
            lead.push(b':');
            Member { lead: lead.into(), node }
        });
        let span = append(&mut self.members, members)?;
        let labels =
            record.fields.iter().map(|field| (&*field.name).into()).zip(record.fields.iter().map(field_tags));
        self.labels.members.extend(labels);
        Ok(span)
    }

    fn enumeration(&mut self, definition: &EnumSchema) -> Result<Span, SchemaError> {
        let symbols = definition.symbols.iter().map(|symbol| {
            let mut quoted = Vec::new();
            write::string(&mut quoted, symbol.as_bytes(), usize::MAX);
            quoted.into()
        });
        append(&mut self.symbols, symbols)
    }
}

fn append<T>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) -> Result<Span, SchemaError> {
    let start = index(all.len())?;
    all.extend(more);
    Ok(Span { start, end: index(all.len())? })
}

fn index(length: usize) -> Result<u32, SchemaError> {
    u32::try_from(length).map_err(|_| SchemaError("the schema has too many types".to_owned()))
}

/// The size of a fixed type. One that no record can hold stays one, whatever it is.
fn size(fixed: &FixedSchema) -> u32 {
    u32::try_from(fixed.size).unwrap_or(u32::MAX)
}

fn decimal_node(decimal: &DecimalSchema) -> Node {
    // No decimal of more digits than a u32 can count is written anyway.
    let scale = u32::try_from(decimal.scale).unwrap_or(u32::MAX);
    match &decimal.inner {
        InnerDecimalSchema::Bytes => Node::DecimalBytes { scale },
        // The specification ignores a logical type that is not valid for its type.
        InnerDecimalSchema::Fixed(fixed) if decimal.precision > digits_in(fixed.size) => {
            Node::Fixed { size: size(fixed) }
        }
        InnerDecimalSchema::Fixed(fixed) => Node::DecimalFixed { scale, size: size(fixed) },
    }
}

/// The digits that every number of this many bytes in two's complement can have: floor(log10(2^(8 size - 1) - 1)).
fn digits_in(size: usize) -> usize {
    let bits = size.saturating_mul(8).saturating_sub(1);
    // No power of two is near enough to a power of ten for the float to be wrong below 10^15 bits.
    (bits as f64 * std::f64::consts::LOG10_2).floor() as usize
}

fn field_tags(field: &RecordField) -> Tags {
    tags_in(&field.custom_attributes)
}

fn tags_in(attributes: &BTreeMap<String, Value>) -> Tags {
    let tags = attributes.get(TAGS).and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(Value::as_str).map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_fit_their_bytes() {
        for (size, expect) in [(0, 0), (1, 2), (2, 4), (4, 9), (8, 18), (12, 28), (16, 38), (32, 76)] {
            assert_eq!(digits_in(size), expect, "{size}");
        }
    }
}
