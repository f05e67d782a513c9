//! The fields of the events of a schema, with their pointers, kinds and tags.

use std::{collections::BTreeSet, sync::Arc};

use event::Pattern;
use prost_reflect::{
    Cardinality, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor,
    ReflectMessage, Value,
};
use rustc_hash::FxHashMap;

use super::plan::{Form, Plan};
use crate::{Field, Kind, SchemaError, write::MAX_DEPTH};

/// The fields of a schema whose types are used in many places can be many more than its text is long.
const MAX_FIELDS: usize = 20_000;

type TagSet = BTreeSet<Arc<str>>;

/// Every field of the messages `top`, each of which a record can be, and of the messages `nested` those with tags: records
/// of nested messages are rare, and the names of their fields would hide mistakes in pointers.
///
/// What is inside a recursive type is listed where the type occurs first. Where it occurs again inside of itself, and
/// where any message can be, the field has the tags of everything that it can contain, because no pattern leads to what
/// is below at any depth. Otherwise the tags of a message are those of all values in it.
pub(super) fn fields(
    plan: &Plan,
    top: &[MessageDescriptor],
    nested: &[MessageDescriptor],
) -> Result<Vec<Field>, SchemaError> {
    let mut lister = Lister { plan, fields: Vec::new(), places: FxHashMap::default(), open: Vec::new() };
    for message in top {
        lister.message(message, "", top.len() > 1, &tags_of_message(message))?;
    }
    let listed = lister.fields.len();
    for message in nested {
        lister.message(message, "", true, &tags_of_message(message))?;
    }
    let (mut fields, index) = (lister.fields, std::cell::Cell::new(0));
    fields.retain(|field| index.replace(index.get() + 1) < listed || !field.tags.is_empty());
    Ok(fields)
}

struct Lister<'p> {
    plan: &'p Plan,
    fields: Vec<Field>,
    /// The indexes of `fields` by pointer.
    places: FxHashMap<String, usize>,
    /// The messages that enclose the current field.
    open: Vec<MessageDescriptor>,
}

/// A field or an extension.
struct Declared {
    name: String,
    kind: Type,
    is_list: bool,
    is_map: bool,
    has_presence: bool,
    tags: TagSet,
}

impl Lister<'_> {
    /// The fields inside a message.
    fn message(
        &mut self,
        message: &MessageDescriptor,
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        // Nothing that is deeper can be decoded, and no recursion is deeper than this one.
        if self.open.len() >= MAX_DEPTH as usize {
            return Ok(());
        }
        self.open.push(message.clone());
        for field in declared(message) {
            let path = format!("{path}/{}", field.name);
            let is_optional = is_optional || field.has_presence;
            let tags: TagSet = outer.union(&field.tags).cloned().collect();
            if field.is_list {
                self.add(&path, Kind::Array, is_optional, &TagSet::new())?;
                self.value(&field.kind, &format!("{path}/*"), is_optional, &tags)?;
            } else if let (true, Type::Message(entry)) = (field.is_map, &field.kind) {
                self.add(&path, Kind::Object, is_optional, &TagSet::new())?;
                self.value(&entry.map_entry_value_field().kind(), &format!("{path}/*"), is_optional, &tags)?;
            } else {
                self.value(&field.kind, &path, is_optional, &tags)?;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// A value of a type, and what is inside.
    fn value(
        &mut self,
        kind: &Type,
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        let message = match kind {
            Type::Message(message) => message,
            kind => return self.add(path, scalar(kind), is_optional, outer),
        };
        let mut tags: TagSet = outer.union(&tags_of_message(message)).cloned().collect();
        match self.form(message) {
            Form::Plain if self.open.contains(message) => {
                tags.extend(tags_inside(message));
                self.add(path, Kind::Object, is_optional, &tags)
            }
            Form::Plain => {
                self.add(path, Kind::Object, is_optional, &TagSet::new())?;
                self.message(message, path, is_optional, &tags)
            }
            Form::Any => {
                tags.extend(message.parent_pool().all_messages().flat_map(|message| tags_inside(&message)));
                self.add(path, Kind::Object, is_optional, &tags)
            }
            Form::Timestamp => self.add(path, Kind::Time, is_optional, &tags),
            Form::Duration | Form::FieldMask => self.add(path, Kind::Text, is_optional, &tags),
            Form::Wrapper => {
                let kind = message.fields().next().map_or(Kind::Several, |field| scalar(&field.kind()));
                self.add(path, kind, is_optional, &tags)
            }
            Form::Value => self.add(path, Kind::Several, true, &tags),
            Form::Struct => self.add(path, Kind::Object, is_optional, &tags),
            Form::List => self.add(path, Kind::Array, is_optional, &tags),
            Form::Decimal => self.add(path, Kind::Number, is_optional, &tags),
        }
    }

    fn form(&self, message: &MessageDescriptor) -> Form {
        self.plan.messages[self.plan.names[message.full_name()]].form
    }

    fn add(&mut self, path: &str, kind: Kind, is_optional: bool, tags: &TagSet) -> Result<(), SchemaError> {
        if let Some(&index) = self.places.get(path) {
            let field = &mut self.fields[index];
            if field.kind != kind {
                field.kind = Kind::Several;
            }
            field.optional |= is_optional;
            field.tags = field.tags.iter().chain(tags).cloned().collect::<TagSet>().into_iter().collect();
            return Ok(());
        }
        if self.fields.len() == MAX_FIELDS {
            return Err(SchemaError(format!("the schema has more than {MAX_FIELDS} fields")));
        }
        let pattern: Pattern = path.parse().map_err(|error| SchemaError(format!("{error}")))?;
        self.places.insert(path.to_owned(), self.fields.len());
        let tags = tags.iter().cloned().collect();
        self.fields.push(Field { pattern, kind, optional: is_optional, tags });
        Ok(())
    }
}

fn scalar(kind: &Type) -> Kind {
    match kind {
        Type::Bool => Kind::Bool,
        Type::String | Type::Bytes => Kind::Text,
        Type::Enum(found) if found.full_name() == "google.protobuf.NullValue" => Kind::Null,
        Type::Enum(_) => Kind::Text,
        _ => Kind::Number,
    }
}

/// The fields of a message in the order of the schema, and its extensions.
fn declared(message: &MessageDescriptor) -> impl Iterator<Item = Declared> {
    let numbers =
        message.descriptor_proto().field.iter().filter_map(|field| u32::try_from(field.number()).ok());
    let fields = numbers.filter_map(|number| message.get_field(number)).map(|field| of_field(&field));
    fields.chain(message.extensions().map(|field| of_extension(&field)))
}

fn of_field(field: &FieldDescriptor) -> Declared {
    Declared {
        name: field.name().to_owned(),
        kind: field.kind(),
        is_list: field.is_list(),
        is_map: field.is_map(),
        has_presence: field.supports_presence() && field.cardinality() != Cardinality::Required,
        tags: tags_of(&field.options(), "confluent.field_meta"),
    }
}

fn of_extension(field: &ExtensionDescriptor) -> Declared {
    Declared {
        name: format!("[{}]", field.full_name()),
        kind: field.kind(),
        is_list: field.is_list(),
        is_map: false,
        has_presence: !field.is_list(),
        tags: tags_of(&field.options(), "confluent.field_meta"),
    }
}

fn tags_of_message(message: &MessageDescriptor) -> TagSet {
    tags_of(&message.options(), "confluent.message_meta")
}

/// The tags in Confluent's option of this name.
fn tags_of(options: &DynamicMessage, name: &str) -> TagSet {
    let pool = options.descriptor().parent_pool().clone();
    let Some(extension) = pool.get_extension_by_name(name) else { return TagSet::new() };
    let meta = options.get_extension(&extension);
    let Some(meta) = meta.as_message() else { return TagSet::new() };
    let Some(tags) = meta.get_field_by_name("tags") else { return TagSet::new() };
    let tags = tags.as_list().unwrap_or_default().iter();
    tags.filter_map(Value::as_str).map(Arc::from).collect()
}

/// The tags of everything inside a message.
fn tags_inside(message: &MessageDescriptor) -> TagSet {
    let (mut tags, mut seen, mut next) = (TagSet::new(), Vec::new(), vec![message.clone()]);
    while let Some(message) = next.pop() {
        if seen.contains(&message) {
            continue;
        }
        tags.extend(tags_of_message(&message));
        for field in declared(&message) {
            tags.extend(field.tags);
            if let Type::Message(inner) = field.kind {
                next.push(inner);
            }
        }
        seen.push(message);
    }
    tags
}
