//! The messages of a schema with Connect's schema of each.

use std::sync::Arc;

use codec::SchemaError;
use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor, OneofDescriptor, ReflectMessage as _,
    Syntax,
};
use rustc_hash::FxHashMap;

use super::super::Options;
use crate::data::{Field, Schema, Type as ConnectType, logical};

/// A schema whose messages are used in many places can be more than its text is long.
const MOST_FIELDS: usize = 20_000;
const DEEPEST: usize = 64;
/// The largest scale of a decimal, so that no schema can ask for gigabytes of zeros.
pub(super) const LARGEST_SCALE: i32 = 400;

const UNION: &str = "io.confluent.connect.protobuf.Union.";

/// The message of records.
pub(super) enum Root {
    Message(Arc<Message>),
    /// A wrapper, whose value is the record.
    Wrapped(Node),
}

/// A message and its struct.
pub(super) struct Message {
    pub(super) schema: Arc<Schema>,
    pub(super) members: Vec<Member>,
}

/// What is at one place of a struct.
pub(super) enum Member {
    Field(Placed),
    /// A struct with a field for each alternative.
    Union(Vec<Placed>),
    /// An alternative that is a field itself.
    Alternative(Placed),
}

/// A field of a message.
pub(super) struct Placed {
    pub(super) descriptor: FieldDescriptor,
    pub(super) node: Node,
    /// Whether it has its default if it is absent.
    pub(super) has_default: bool,
}

/// How a value is converted, and its schema.
pub(super) struct Node {
    pub(super) schema: Arc<Schema>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A number, text, bytes or boolean.
    Scalar,
    /// An `int8`.
    Byte,
    /// An `int16`.
    Short,
    Enum(EnumDescriptor),
    /// An enum as its number.
    Number(EnumDescriptor),
    Decimal,
    Date,
    Time,
    Timestamp,
    /// The value in a wrapper.
    Wrapped,
    Message(Arc<Message>),
    List(Box<Node>),
    Map {
        key: Box<Node>,
        value: Box<Node>,
    },
    /// A message inside of itself.
    Cycle,
}

impl Root {
    pub(super) fn schema(&self) -> &Arc<Schema> {
        match self {
            Self::Message(message) => &message.schema,
            Self::Wrapped(node) => &node.schema,
        }
    }
}

/// The plan of records of a message.
pub(super) fn root(descriptor: &MessageDescriptor, options: Options) -> Result<Root, SchemaError> {
    if let Some(kind) = wrapped(descriptor).filter(|_| options.unwraps_records) {
        return Ok(Root::Wrapped(Node { schema: Arc::new(Schema::of(kind)), kind: Kind::Wrapped }));
    }
    let mut builder = Builder { options, open: Vec::new(), done: FxHashMap::default(), fields: 0, cycles: 0 };
    let message = builder.message(descriptor)?;
    // Only fields are optional.
    let schema = Schema { is_optional: false, ..(*message.schema).clone() };
    let message = Arc::try_unwrap(message).map_err(|_| invalid("the message contains itself"))?;
    Ok(Root::Message(Arc::new(Message { schema: Arc::new(schema), ..message })))
}

fn invalid(problem: impl Into<String>) -> SchemaError {
    SchemaError(problem.into())
}

/// What a wrapper of Google's contains; `None` for any other message.
fn wrapped(message: &MessageDescriptor) -> Option<ConnectType> {
    Some(match message.full_name().strip_prefix("google.protobuf.")? {
        "DoubleValue" => ConnectType::Float64,
        "FloatValue" => ConnectType::Float32,
        "Int64Value" | "UInt64Value" | "UInt32Value" => ConnectType::Int64,
        "Int32Value" => ConnectType::Int32,
        "BoolValue" => ConnectType::Boolean,
        "StringValue" => ConnectType::String,
        "BytesValue" => ConnectType::Bytes,
        _ => return None,
    })
}

struct Builder {
    options: Options,
    /// The messages that enclose the current one.
    open: Vec<String>,
    /// Messages without a cycle in them, which are the same wherever they are used.
    done: FxHashMap<String, Arc<Message>>,
    fields: usize,
    cycles: usize,
}

impl Builder {
    /// A message as a field: its schema is optional.
    fn message(&mut self, descriptor: &MessageDescriptor) -> Result<Arc<Message>, SchemaError> {
        if let Some(done) = self.done.get(descriptor.full_name()) {
            return Ok(done.clone());
        }
        if self.open.len() > DEEPEST {
            return Err(invalid("messages are nested too deeply"));
        }
        let cycles = self.cycles;
        self.open.push(descriptor.full_name().to_owned());
        let (mut members, mut fields) = (Vec::new(), Vec::new());
        for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.oneof(descriptor, &oneof, &mut members, &mut fields)?;
        }
        let numbers = descriptor.descriptor_proto().field.iter();
        let declared = numbers.filter_map(|field| descriptor.get_field(u32::try_from(field.number()).ok()?));
        for field in declared.filter(|field| real_oneof(field).is_none()) {
            let placed = self.placed(&field)?;
            fields.push(Field { name: field.name().into(), schema: placed.node.schema.clone() });
            members.push(Member::Field(placed));
        }
        self.open.pop();
        let mut names = std::collections::HashSet::new();
        if !fields.iter().all(|field| names.insert(&*field.name)) {
            return Err(invalid("two fields would have one name"));
        }
        let name = self.name(descriptor.full_name(), descriptor.name());
        let schema = Schema::of(ConnectType::Struct).named(name).optional().with_fields(fields);
        let message = Arc::new(Message { schema: Arc::new(schema), members });
        if self.cycles == cycles && !self.open.is_empty() {
            self.done.insert(descriptor.full_name().to_owned(), message.clone());
        }
        Ok(message)
    }

    fn name<'n>(&self, full: &'n str, simple: &'n str) -> &'n str {
        if self.options.is_enhanced { full } else { simple }
    }

    fn oneof(
        &mut self,
        message: &MessageDescriptor,
        oneof: &OneofDescriptor,
        members: &mut Vec<Member>,
        fields: &mut Vec<Field>,
    ) -> Result<(), SchemaError> {
        let mut alternatives =
            oneof.fields().map(|field| self.placed(&field)).collect::<Result<Vec<_>, _>>()?;
        let as_field = |placed: &Placed| Field {
            name: placed.descriptor.name().into(),
            schema: placed.node.schema.clone(),
        };
        if self.options.flattens_unions {
            fields.extend(alternatives.iter().map(as_field));
            members.extend(alternatives.drain(..).map(Member::Alternative));
            return Ok(());
        }
        let number = message.oneofs().position(|other| other == *oneof).unwrap_or_default();
        let name = match self.options.numbers_unions {
            true => format!("{}_{number}", oneof.name()),
            false => oneof.name().to_owned(),
        };
        let union = match self.options.is_generalised {
            true => oneof.name().to_owned(),
            false => format!("{UNION}{}", self.name(oneof.full_name(), oneof.name())),
        };
        let schema = Schema::of(ConnectType::Struct).named(&union).optional();
        let schema = Arc::new(schema.with_fields(alternatives.iter().map(as_field).collect()));
        fields.push(Field { name: name.into(), schema });
        members.push(Member::Union(alternatives));
        Ok(())
    }

    fn placed(&mut self, field: &FieldDescriptor) -> Result<Placed, SchemaError> {
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(invalid(format!("the schema has more than {MOST_FIELDS} fields")));
        }
        let node = self.field(field)?;
        let is_proto3_optional = field.field_descriptor_proto().proto3_optional();
        let is_absent_null =
            is_proto3_optional || (self.options.has_optional_for_proto2 && has_keyword(field));
        let is_message = matches!(field.kind(), Type::Message(_)) && !field.is_list() && !field.is_map();
        Ok(Placed { descriptor: field.clone(), node, has_default: !is_message && !is_absent_null })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<Node, SchemaError> {
        let mut node = match field.kind() {
            Type::Message(entry) if field.is_map() => self.map(&entry)?,
            _ => self.element(field)?,
        };
        if field.is_list() {
            let inner = optional(node);
            let mut schema = Schema::of(ConnectType::Array).optional();
            schema.values = Some(inner.schema.clone());
            return Ok(Node { schema: Arc::new(schema), kind: Kind::List(Box::new(inner)) });
        }
        let is_optional = match self.options.is_optional_by_keyword {
            true => has_keyword(field) || field.field_descriptor_proto().proto3_optional(),
            false => !self.options.unwraps_nullables,
        };
        if is_optional {
            node = optional(node);
        }
        Ok(node)
    }

    fn map(&mut self, entry: &MessageDescriptor) -> Result<Node, SchemaError> {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let (key, value) = (self.field(&key)?, self.field(&value)?);
        let mut schema = Schema::of(ConnectType::Map);
        (schema.keys, schema.values) = (Some(key.schema.clone()), Some(value.schema.clone()));
        Ok(Node { schema: Arc::new(schema), kind: Kind::Map { key: Box::new(key), value: Box::new(value) } })
    }

    /// The type of a field without its label.
    fn element(&mut self, field: &FieldDescriptor) -> Result<Node, SchemaError> {
        let of = |kind, schema: Schema| Ok(Node { schema: Arc::new(schema), kind });
        let scalar = |kind| of(Kind::Scalar, Schema::of(kind));
        match field.kind() {
            Type::Int32 | Type::Sint32 | Type::Sfixed32 => {
                match parameter(field, "connect.type").as_deref() {
                    Some("int8") => of(Kind::Byte, Schema::of(ConnectType::Int8)),
                    Some("int16") => of(Kind::Short, Schema::of(ConnectType::Int16)),
                    _ => scalar(ConnectType::Int32),
                }
            }
            Type::Uint32
            | Type::Fixed32
            | Type::Int64
            | Type::Uint64
            | Type::Sint64
            | Type::Fixed64
            | Type::Sfixed64 => scalar(ConnectType::Int64),
            Type::Float => scalar(ConnectType::Float32),
            Type::Double => scalar(ConnectType::Float64),
            Type::Bool => scalar(ConnectType::Boolean),
            Type::String => scalar(ConnectType::String),
            Type::Bytes => scalar(ConnectType::Bytes),
            Type::Enum(found) => {
                let name = self.name(found.full_name(), found.name()).to_owned();
                match self.options.has_numbers_for_enums {
                    true => of(Kind::Number(found), Schema::of(ConnectType::Int32).named(&name).optional()),
                    false => of(Kind::Enum(found), Schema::of(ConnectType::String).named(&name).optional()),
                }
            }
            Type::Message(_) if field.is_group() => Err(invalid("groups have no type in Connect")),
            Type::Message(message) => self.message_field(field, &message),
        }
    }

    fn message_field(
        &mut self,
        field: &FieldDescriptor,
        message: &MessageDescriptor,
    ) -> Result<Node, SchemaError> {
        let named = |kind, of, name| {
            let schema = Schema::of(of).named(name).optional();
            Ok(Node { schema: Arc::new(schema), kind })
        };
        match message.full_name() {
            "confluent.type.Decimal" => {
                let scale =
                    parameter(field, "scale").and_then(|scale| scale.parse().ok()).unwrap_or_default();
                let schema =
                    Schema { scale, ..Schema::of(ConnectType::Bytes).named(logical::DECIMAL).optional() };
                Ok(Node { schema: Arc::new(schema), kind: Kind::Decimal })
            }
            "google.type.Date" => named(Kind::Date, ConnectType::Int32, logical::DATE),
            "google.type.TimeOfDay" => named(Kind::Time, ConnectType::Int32, logical::TIME),
            "google.protobuf.Timestamp" => named(Kind::Timestamp, ConnectType::Int64, logical::TIMESTAMP),
            name => {
                if let Some(kind) = wrapped(message).filter(|_| self.options.unwraps_nullables) {
                    let schema = Arc::new(Schema::of(kind).optional());
                    return Ok(Node { schema, kind: Kind::Wrapped });
                }
                if self.open.iter().any(|open| open == name) {
                    self.cycles += 1;
                    let schema =
                        Schema::of(ConnectType::Struct).named(self.name(name, message.name())).optional();
                    return Ok(Node { schema: Arc::new(schema), kind: Kind::Cycle });
                }
                let message = self.message(message)?;
                Ok(Node { schema: message.schema.clone(), kind: Kind::Message(message) })
            }
        }
    }
}

fn optional(node: Node) -> Node {
    if node.schema.is_optional {
        return node;
    }
    Node { schema: Arc::new((*node.schema).clone().optional()), ..node }
}

/// The `oneof` of a field, unless it only represents the keyword `optional`.
fn real_oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// Whether a field of proto2 has the keyword `optional`.
fn has_keyword(field: &FieldDescriptor) -> bool {
    field.parent_file().syntax() == Syntax::Proto2
        && field.field_descriptor_proto().label()
            == prost_reflect::prost_types::field_descriptor_proto::Label::Optional
        && field.containing_oneof().is_none()
}

/// A parameter in Confluent's option of a field.
fn parameter(field: &FieldDescriptor, name: &str) -> Option<String> {
    let options = field.options();
    let extension = options.descriptor().parent_pool().get_extension_by_name("confluent.field_meta")?;
    let meta = options.get_extension(&extension);
    let parameters = meta.as_message()?.get_field_by_name("params")?;
    let found = parameters.as_map()?.get(&prost_reflect::MapKey::String(name.to_owned()))?;
    found.as_str().map(str::to_owned)
}
