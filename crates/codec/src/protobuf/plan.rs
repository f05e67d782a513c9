//! The descriptors of a schema as tables that decoding walks: everything is found by index, and names are already JSON.

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind as Type,
    MessageDescriptor, Syntax,
};
use rustc_hash::FxHashMap;

use super::wire::Wire;

/// All messages and enums that a payload can contain. Messages of an `Any` are found by name.
pub(super) struct Plan {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
    pub(super) names: FxHashMap<String, usize>,
}

pub(super) struct Message {
    pub(super) form: Form,
    /// In the order of the schema; extensions follow.
    pub(super) fields: Vec<Field>,
    numbers: Numbers,
    /// How many `oneof`s it has.
    pub(super) oneofs: usize,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As an object with its fields.
    Plain,
    /// As an object with its URL and the fields of its message.
    Any,
    Timestamp,
    Duration,
    FieldMask,
    /// As the value of its only field.
    Wrapper,
    /// As whatever it contains.
    Value,
    /// As the value of its only field, which is a map.
    Struct,
    /// As the value of its only field, which is a list.
    List,
    /// Confluent's decimal, as a number.
    Decimal,
}

pub(super) struct Field {
    /// The name in quotes, and a colon.
    pub(super) name: Box<[u8]>,
    number: u32,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// Whether another message declares it. Its list is not written if it is absent.
    pub(super) is_extension: bool,
    /// What is written for an absent value: of [`Shape::Implicit`], and of a map's entry.
    pub(super) default: Box<[u8]>,
    /// The `oneof` that it belongs to, counted within the message.
    pub(super) oneof: Option<usize>,
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not written if it is absent.
    Optional,
    /// Its default value is written if it is absent.
    Implicit,
    Required,
    List,
    Map,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// By index.
    Enum(usize),
    /// By index.
    Message(usize),
    /// By index.
    Group(usize),
}

pub(super) struct Enum {
    /// The first name of each number in quotes, sorted by number.
    names: Vec<(i32, Box<[u8]>)>,
    /// Whether it is `NullValue`, of which every number is null.
    is_null: bool,
    /// Whether other numbers count as an unknown field, as in proto2.
    pub(super) is_closed: bool,
}

/// From numbers to indexes of fields.
struct Numbers {
    /// The index plus one by number, for small numbers; 0 if there is none.
    small: Vec<u32>,
    /// The others, sorted by number.
    large: Vec<(u32, u32)>,
}

impl Plan {
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let names =
            pool.all_messages().enumerate().map(|(index, message)| (message.full_name().to_owned(), index));
        let enum_names =
            pool.all_enums().enumerate().map(|(index, found)| (found.full_name().to_owned(), index));
        let (names, enum_names) = (names.collect(), enum_names.collect());
        let builder = Builder { names: &names, enum_names: &enum_names };
        let messages = pool.all_messages().map(|message| builder.message(&message)).collect();
        Self { messages, enums: pool.all_enums().map(|found| Enum::new(&found)).collect(), names }
    }
}

impl Message {
    /// The index of the field with this number.
    #[inline]
    pub(super) fn index(&self, number: u32) -> Option<usize> {
        if let Some(&index) = self.numbers.small.get(number as usize) {
            return (index as usize).checked_sub(1);
        }
        let found = self.numbers.large.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        Some(self.numbers.large[found].1 as usize)
    }
}

impl Field {
    /// Whether a value can be written so. Anything else is an unknown field.
    #[inline]
    pub(super) fn accepts(&self, wire: Wire) -> bool {
        let own = self.kind.wire();
        wire == own || (self.shape == Shape::List && wire == Wire::Bytes && self.kind.is_packable())
    }
}

impl Kind {
    /// How a single value is written.
    #[inline]
    pub(super) fn wire(self) -> Wire {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Wire::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Wire::Fixed32,
            Self::String | Self::Bytes | Self::Message(_) => Wire::Bytes,
            Self::Group(_) => Wire::Start,
            _ => Wire::Varint,
        }
    }

    /// Whether a list of it may be written as one value.
    pub(super) fn is_packable(self) -> bool {
        !matches!(self.wire(), Wire::Bytes | Wire::Start)
    }

    /// The message that it is.
    pub(super) fn message(self) -> Option<usize> {
        match self {
            Self::Message(index) | Self::Group(index) => Some(index),
            _ => None,
        }
    }

    fn default(self) -> &'static [u8] {
        match self {
            Self::Double | Self::Float => b"0.0",
            Self::Bool => b"false",
            Self::String | Self::Bytes => b"\"\"",
            _ => b"0",
        }
    }
}

impl Enum {
    fn new(found: &EnumDescriptor) -> Self {
        let is_null = found.full_name() == "google.protobuf.NullValue";
        let mut names: Vec<(i32, Box<[u8]>)> = Vec::new();
        // In the order of the schema, so that of several names of a number the first one stays.
        for value in found.enum_descriptor_proto().value.iter() {
            if names.iter().all(|&(number, _)| number != value.number()) {
                names.push((value.number(), format!("\"{}\"", value.name()).into_bytes().into()));
            }
        }
        names.sort_unstable_by_key(|&(number, _)| number);
        Self { names, is_null, is_closed: found.parent_file().syntax() == Syntax::Proto2 }
    }

    /// The JSON of a value that has a name.
    #[inline]
    pub(super) fn name(&self, number: i32) -> Option<&[u8]> {
        if self.is_null {
            return Some(b"null");
        }
        // Most enums count from 0.
        let guess = usize::try_from(number).ok().and_then(|index| self.names.get(index));
        if let Some((found, name)) = guess
            && *found == number
        {
            return Some(name);
        }
        let found = self.names.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        Some(&self.names[found].1)
    }
}

struct Builder<'n> {
    names: &'n FxHashMap<String, usize>,
    enum_names: &'n FxHashMap<String, usize>,
}

impl Builder<'_> {
    fn message(&self, message: &MessageDescriptor) -> Message {
        let declared = message.descriptor_proto().field.iter();
        let declared = declared.filter_map(|field| message.get_field(u32::try_from(field.number()).ok()?));
        let mut fields: Vec<Field> = declared.map(|field| self.field(message, &field)).collect();
        fields.extend(message.extensions().map(|extension| self.extension(&extension)));
        let numbers = Numbers::new(&fields);
        let mut built = Message { form: Form::Plain, fields, numbers, oneofs: message.oneofs().len() };
        built.form = self.form(message.full_name(), &built);
        built
    }

    fn field(&self, message: &MessageDescriptor, field: &FieldDescriptor) -> Field {
        let shape = match field.cardinality() {
            Cardinality::Repeated if field.is_map() => Shape::Map,
            Cardinality::Repeated => Shape::List,
            Cardinality::Required => Shape::Required,
            Cardinality::Optional if field.supports_presence() => Shape::Optional,
            Cardinality::Optional => Shape::Implicit,
        };
        let oneof = field.containing_oneof();
        let oneof = oneof.and_then(|oneof| message.oneofs().position(|other| other == oneof));
        let kind = self.kind(&field.kind(), field.is_group());
        Field {
            name: json_name(field.name()),
            number: field.number(),
            shape,
            kind,
            is_extension: false,
            default: default(&field.kind(), kind),
            oneof,
        }
    }

    /// A field that another message declares, under its full name in brackets.
    fn extension(&self, field: &ExtensionDescriptor) -> Field {
        let shape = if field.cardinality() == Cardinality::Repeated { Shape::List } else { Shape::Optional };
        let kind = self.kind(&field.kind(), field.is_group());
        let name = json_name(&format!("[{}]", field.full_name()));
        Field {
            name,
            number: field.number(),
            shape,
            kind,
            is_extension: true,
            default: default(&field.kind(), kind),
            oneof: None,
        }
    }

    fn kind(&self, kind: &Type, is_group: bool) -> Kind {
        match kind {
            Type::Double => Kind::Double,
            Type::Float => Kind::Float,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Sint32 => Kind::Sint32,
            Type::Sint64 => Kind::Sint64,
            Type::Fixed32 => Kind::Fixed32,
            Type::Fixed64 => Kind::Fixed64,
            Type::Sfixed32 => Kind::Sfixed32,
            Type::Sfixed64 => Kind::Sfixed64,
            Type::Bool => Kind::Bool,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Enum(found) => Kind::Enum(self.enum_names[found.full_name()]),
            Type::Message(message) if is_group => Kind::Group(self.names[message.full_name()]),
            Type::Message(message) => Kind::Message(self.names[message.full_name()]),
        }
    }

    /// The form of a message. A message that has the name of a well-known type, but not its fields, is plain.
    fn form(&self, name: &str, message: &Message) -> Form {
        use Shape::{Implicit, List, Map, Optional};
        let message_named = |name: &str| Kind::Message(self.names.get(name).copied().unwrap_or(usize::MAX));
        let (form, expect): (Form, Vec<(Shape, Kind)>) = match name {
            "google.protobuf.Timestamp" => {
                (Form::Timestamp, vec![(Implicit, Kind::Int64), (Implicit, Kind::Int32)])
            }
            "google.protobuf.Duration" => {
                (Form::Duration, vec![(Implicit, Kind::Int64), (Implicit, Kind::Int32)])
            }
            "google.protobuf.FieldMask" => (Form::FieldMask, vec![(List, Kind::String)]),
            "google.protobuf.Any" => (Form::Any, vec![(Implicit, Kind::String), (Implicit, Kind::Bytes)]),
            "google.protobuf.Struct" => {
                (Form::Struct, vec![(Map, message_named("google.protobuf.Struct.FieldsEntry"))])
            }
            "google.protobuf.ListValue" => (Form::List, vec![(List, message_named("google.protobuf.Value"))]),
            "google.protobuf.Value" => {
                let null = self.enum_names.get("google.protobuf.NullValue").copied().unwrap_or(usize::MAX);
                // Values do not count as a level of nesting, so that they must contain nothing but these.
                let expect = vec![
                    (Optional, Kind::Enum(null)),
                    (Optional, Kind::Double),
                    (Optional, Kind::String),
                    (Optional, Kind::Bool),
                    (Optional, message_named("google.protobuf.Struct")),
                    (Optional, message_named("google.protobuf.ListValue")),
                ];
                (Form::Value, expect)
            }
            "google.protobuf.DoubleValue" => (Form::Wrapper, vec![(Implicit, Kind::Double)]),
            "google.protobuf.FloatValue" => (Form::Wrapper, vec![(Implicit, Kind::Float)]),
            "google.protobuf.Int64Value" => (Form::Wrapper, vec![(Implicit, Kind::Int64)]),
            "google.protobuf.UInt64Value" => (Form::Wrapper, vec![(Implicit, Kind::Uint64)]),
            "google.protobuf.Int32Value" => (Form::Wrapper, vec![(Implicit, Kind::Int32)]),
            "google.protobuf.UInt32Value" => (Form::Wrapper, vec![(Implicit, Kind::Uint32)]),
            "google.protobuf.BoolValue" => (Form::Wrapper, vec![(Implicit, Kind::Bool)]),
            "google.protobuf.StringValue" => (Form::Wrapper, vec![(Implicit, Kind::String)]),
            "google.protobuf.BytesValue" => (Form::Wrapper, vec![(Implicit, Kind::Bytes)]),
            "confluent.type.Decimal" => (
                Form::Decimal,
                vec![(Implicit, Kind::Bytes), (Implicit, Kind::Uint32), (Implicit, Kind::Int32)],
            ),
            _ => return Form::Plain,
        };
        let fits = |(number, (shape, kind)): (u32, &(Shape, Kind))| {
            let field = message.index(number).map(|index| &message.fields[index]);
            field.is_some_and(|field| field.shape == *shape && field.kind == *kind)
        };
        if message.fields.len() == expect.len() && (1..).zip(&expect).all(fits) { form } else { Form::Plain }
    }
}

fn json_name(name: &str) -> Box<[u8]> {
    // Names are identifiers, so that nothing in them needs an escape.
    format!("\"{name}\":").into_bytes().into()
}

fn default(kind: &Type, plan: Kind) -> Box<[u8]> {
    match kind {
        Type::Enum(found) => {
            let default = found.default_value().number();
            Enum::new(found).name(default).map_or_else(|| default.to_string().into_bytes().into(), Into::into)
        }
        _ => plan.default().into(),
    }
}

impl Numbers {
    /// Numbers below this are found without a search.
    const SMALL: u32 = 256;

    fn new(fields: &[Field]) -> Self {
        let indexed = fields.iter().zip(0u32..).map(|(field, index)| (field.number, index));
        let (small, mut large): (Vec<_>, Vec<_>) = indexed.partition(|&(number, _)| number < Self::SMALL);
        large.sort_unstable();
        // Without large numbers, those beyond the end are looked up in vain, once.
        let length = small.iter().map(|&(number, _)| number as usize + 1).max().unwrap_or(0);
        let mut table = vec![0; length];
        for (number, index) in small {
            table[number as usize] = index + 1;
        }
        Self { small: table, large }
    }
}
