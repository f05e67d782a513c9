//! The types of a schema with Connect's schema of each.
//!
//! A type is built again wherever it is used, because a field decides about its default, and a union about null. Inside of
//! itself a recursive type is [`Kind::Cycle`]: null can be there, and any other value is an error of its record.

use std::{collections::HashMap, sync::Arc};

use codec::{SchemaError, SchemaText};
use serde_json::{Map, Value as Json};

use super::{Options, STEP};
use crate::data::{DataError, Decimal, Field, Schema, Type, Value, logical};

/// A type that is used in many places, in a type that is used in many places, can be more than its text is long.
const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 64;
/// The largest scale of a decimal, so that no schema can ask for gigabytes of zeros.
const LARGEST_SCALE: i64 = 400;

/// Names that no definition can take.
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"];

const UNION: &str = "io.confluent.connect.avro.Union";
const MAP_ENTRY: &str = "MapEntry";
const NAMESPACE: &str = "io.confluent.connect.avro";
/// The name of records without a name in Connect.
const NAMELESS: &str = "io.confluent.connect.avro.ConnectDefault";

/// A type, with the schema of its values.
pub(super) struct Node {
    pub(super) schema: Arc<Schema>,
    pub(super) kind: Kind,
}

/// How a value is encoded.
pub(super) enum Kind {
    Boolean,
    Int,
    /// An `int8`, as an `int`.
    Byte,
    /// An `int16`, as an `int`.
    Short,
    Long,
    Float,
    Double,
    String,
    Bytes,
    Fixed(usize),
    /// Of bytes, or of this many of them.
    Decimal(Option<usize>),
    Enum(Vec<Box<str>>),
    Array(Box<Node>),
    Map(Box<Node>),
    /// A map with keys that are not text: an array of records, which have the key first or second.
    Entries {
        key: Box<Node>,
        value: Box<Node>,
        is_key_first: bool,
    },
    Record(Vec<Node>),
    /// A value, or null, whose branch this is.
    Nullable {
        null: i32,
        inner: Box<Node>,
    },
    /// A union of one branch.
    Only(Box<Node>),
    /// The branches of a union with the place of each in the struct; `None` is null.
    Union(Vec<Option<Node>>),
    /// A record inside of itself.
    Cycle,
}

/// The types of a schema, and its full name.
pub(super) fn plan(text: &SchemaText, options: Options) -> Result<(Node, Option<String>), SchemaError> {
    let reference = |(name, text): &(String, String)| {
        parse(text).map_err(|error| invalid(format!("reference {name:?}: {error}")))
    };
    let references = text.references.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    let root = parse(&text.text)?;
    let mut definitions = Definitions::new();
    for schema in references.iter().chain([&root]) {
        define(schema, "", &mut definitions, 0)?;
    }
    let name = full_name(&root, "").or_else(|| root.as_str().map(str::to_owned));
    let mut builder = Builder { definitions: &definitions, options, open: Vec::new(), nodes: 0 };
    let node = builder.node(&root, "", Use { is_optional: false, default: None })?;
    Ok((node, name))
}

fn parse(text: &str) -> Result<Json, SchemaError> {
    serde_json::from_str(text).map_err(|error| SchemaError(format!("not JSON: {error}")))
}

/// Definitions of named types by their full names.
type Definitions<'s> = HashMap<String, &'s Map<String, Json>>;

/// Notes the definitions in a schema.
fn define<'s>(
    schema: &'s Json,
    outer: &str,
    all: &mut Definitions<'s>,
    depth: usize,
) -> Result<(), SchemaError> {
    if depth > 4 * DEEPEST {
        return Err(invalid("types are nested too deeply"));
    }
    match schema {
        Json::Array(branches) => branches.iter().try_for_each(|branch| define(branch, outer, all, depth + 1)),
        Json::Object(definition) => {
            let name = full_name(schema, outer);
            let inner = name.as_deref().map_or(outer, namespace);
            for key in ["type", "items", "values"] {
                if let Some(nested) = definition.get(key).filter(|nested| !nested.is_string()) {
                    define(nested, inner, all, depth + 1)?;
                }
            }
            let fields = definition.get("fields").and_then(Json::as_array);
            for field in fields.into_iter().flatten() {
                if let Some(kind) = field.get("type") {
                    define(kind, inner, all, depth + 1)?;
                }
            }
            if let Some(name) = name {
                all.insert(name, definition);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The name of a record, enum or `fixed`; `None` for any other type.
fn full_name(schema: &Json, outer: &str) -> Option<String> {
    let kind = schema.get("type").and_then(Json::as_str)?;
    if !matches!(kind, "record" | "error" | "enum" | "fixed") {
        return None;
    }
    let name = schema.get("name").and_then(Json::as_str)?;
    let namespace = schema.get("namespace").and_then(Json::as_str).unwrap_or(outer);
    Some(if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    })
}

/// The namespace of a full name.
fn namespace(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

/// Where a type is used.
#[derive(Clone, Copy)]
struct Use<'s> {
    is_optional: bool,
    /// The default of the field.
    default: Option<&'s Json>,
}

const REQUIRED: Use<'static> = Use { is_optional: false, default: None };

struct Builder<'d> {
    definitions: &'d Definitions<'d>,
    options: Options,
    /// The records that enclose the current type.
    open: Vec<String>,
    nodes: usize,
}

fn invalid(problem: impl Into<String>) -> SchemaError {
    SchemaError(problem.into())
}

impl Builder<'_> {
    fn node(&mut self, schema: &Json, outer: &str, place: Use<'_>) -> Result<Node, SchemaError> {
        self.nodes += 1;
        if self.nodes > MOST_NODES || self.open.len() > DEEPEST {
            return Err(invalid("the schema has too many types"));
        }
        match schema {
            Json::String(name) => self.named(name, outer, place),
            Json::Array(branches) => self.union(branches, outer, place),
            Json::Object(definition) => match definition.get("type") {
                Some(Json::String(kind)) => match kind.as_str() {
                    "record" | "error" | "enum" | "fixed" => {
                        let name =
                            full_name(schema, outer).ok_or_else(|| invalid("a type without a name"))?;
                        self.definition(&name, definition, place)
                    }
                    kind if PRIMITIVES.contains(&kind) || matches!(kind, "array" | "map") => {
                        self.typed(kind, definition, outer, place)
                    }
                    name => self.named(name, outer, place),
                },
                Some(nested) => self.node(nested, outer, place),
                None => Err(invalid("a type is not defined")),
            },
            _ => Err(invalid("a schema is a name, an object or an array")),
        }
    }

    /// A primitive type, or a name that was defined.
    fn named(&mut self, name: &str, outer: &str, place: Use<'_>) -> Result<Node, SchemaError> {
        if PRIMITIVES.contains(&name) {
            return self.typed(name, &Map::new(), outer, place);
        }
        let definitions = self.definitions;
        let qualified = format!("{outer}.{name}");
        let known = |name: &str| definitions.get_key_value(name);
        let is_simple = !name.contains('.');
        match known(&qualified).filter(|_| is_simple && !outer.is_empty()).or_else(|| known(name)) {
            Some((name, definition)) => self.definition(name, definition, place),
            None => Err(invalid(format!("type {name:?} is not defined"))),
        }
    }

    fn definition(
        &mut self,
        name: &str,
        definition: &Map<String, Json>,
        place: Use<'_>,
    ) -> Result<Node, SchemaError> {
        let kind = definition.get("type").and_then(Json::as_str).unwrap_or_default();
        let (kind, schema) = match kind {
            "enum" => {
                let symbols = definition.get("symbols").and_then(Json::as_array);
                let symbols = symbols.into_iter().flatten().filter_map(Json::as_str).map(Into::into);
                (Kind::Enum(symbols.collect()), Schema::of(Type::String))
            }
            "fixed" => {
                let size = definition.get("size").and_then(Json::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| invalid("a fixed type without a size"))?;
                match decimal(definition)? {
                    Some(schema) => (Kind::Decimal(Some(size)), schema),
                    None => (Kind::Fixed(size), Schema::of(Type::Bytes)),
                }
            }
            _ if self.open.iter().any(|open| open == name) => (Kind::Cycle, Schema::of(Type::Struct)),
            _ => self.record(name, definition)?,
        };
        finish(kind, schema, definition, Some(name), place)
    }

    fn record(&mut self, full: &str, definition: &Map<String, Json>) -> Result<(Kind, Schema), SchemaError> {
        self.open.push(full.to_owned());
        let (mut nodes, mut fields) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashSet::new();
        for field in definition.get("fields").and_then(Json::as_array).into_iter().flatten() {
            let name =
                field.get("name").and_then(Json::as_str).ok_or_else(|| invalid("a field without a name"))?;
            if !seen.insert(name) {
                return Err(invalid("two fields of one name"));
            }
            let kind = field.get("type").ok_or_else(|| invalid("a field without a type"))?;
            let default = field.get("default").filter(|default| !default.is_null());
            let node = self.node(kind, namespace(full), Use { is_optional: false, default })?;
            fields.push(Field { name: name.into(), schema: node.schema.clone() });
            nodes.push(node);
        }
        self.open.pop();
        Ok((Kind::Record(nodes), Schema::of(Type::Struct).with_fields(fields)))
    }

    fn typed(
        &mut self,
        kind: &str,
        definition: &Map<String, Json>,
        outer: &str,
        place: Use<'_>,
    ) -> Result<Node, SchemaError> {
        let logical = definition.get("logicalType").and_then(Json::as_str).unwrap_or_default();
        let is = |name: &str| logical.eq_ignore_ascii_case(name);
        let (kind, schema) = match kind {
            "boolean" => (Kind::Boolean, Schema::of(Type::Boolean)),
            "int" => match definition.get("connect.type").and_then(Json::as_str) {
                _ if is("date") => (Kind::Int, Schema::of(Type::Int32).named(logical::DATE)),
                _ if is("time-millis") => (Kind::Int, Schema::of(Type::Int32).named(logical::TIME)),
                Some("int8") if logical.is_empty() => (Kind::Byte, Schema::of(Type::Int8)),
                Some("int16") if logical.is_empty() => (Kind::Short, Schema::of(Type::Int16)),
                _ => (Kind::Int, Schema::of(Type::Int32)),
            },
            "long" if is("timestamp-millis") => {
                (Kind::Long, Schema::of(Type::Int64).named(logical::TIMESTAMP))
            }
            "long" => (Kind::Long, Schema::of(Type::Int64)),
            "float" => (Kind::Float, Schema::of(Type::Float32)),
            "double" => (Kind::Double, Schema::of(Type::Float64)),
            "string" => (Kind::String, Schema::of(Type::String)),
            "bytes" => match decimal(definition)? {
                Some(schema) => (Kind::Decimal(None), schema),
                None => (Kind::Bytes, Schema::of(Type::Bytes)),
            },
            "array" => self.array(definition, outer)?,
            "map" => {
                let values = definition.get("values").ok_or_else(|| invalid("a map without values"))?;
                let values = self.node(values, outer, REQUIRED)?;
                let schema = map_of(Arc::new(Schema::of(Type::String)), values.schema.clone());
                (Kind::Map(Box::new(values)), schema)
            }
            "null" => return Err(invalid("a value that is always null has no schema in Connect")),
            other => return Err(invalid(format!("type {other:?} is not defined"))),
        };
        finish(kind, schema, definition, None, place)
    }

    fn array(&mut self, definition: &Map<String, Json>, outer: &str) -> Result<(Kind, Schema), SchemaError> {
        let items = definition.get("items").ok_or_else(|| invalid("an array without items"))?;
        let items_node = self.node(items, outer, REQUIRED)?;
        if !self.is_map_entry(items, outer) {
            let mut schema = Schema::of(Type::Array);
            schema.values = Some(items_node.schema.clone());
            return Ok((Kind::Array(Box::new(items_node)), schema));
        }
        let fields: Vec<Arc<str>> = items_node.schema.fields.iter().map(|field| field.name.clone()).collect();
        let is_key_first = fields.first().is_some_and(|name| **name == *"key");
        let (Kind::Record(nodes), 2) = (items_node.kind, fields.len()) else {
            return Err(invalid("the entry of a map has a key and a value"));
        };
        let mut nodes = nodes.into_iter();
        let (Some(first), Some(second)) = (nodes.next(), nodes.next()) else {
            return Err(invalid("the entry of a map has a key and a value"));
        };
        let (key, value) = if is_key_first { (first, second) } else { (second, first) };
        let schema = map_of(key.schema.clone(), value.schema.clone());
        Ok((Kind::Entries { key: Box::new(key), value: Box::new(value), is_key_first }, schema))
    }

    /// Whether an array is what Confluent's converter makes of a map whose keys are not text.
    fn is_map_entry(&self, items: &Json, outer: &str) -> bool {
        let name = full_name(items, outer).or_else(|| {
            let name = items.as_str()?;
            let qualified = format!("{outer}.{name}");
            Some(if self.definitions.contains_key(&qualified) { qualified } else { name.to_owned() })
        });
        let Some(definition) = name.as_ref().and_then(|name| self.definitions.get(name)) else {
            return false;
        };
        let is_marked = definition.get("connect.internal.type").is_some_and(|kind| kind == MAP_ENTRY);
        is_marked || name.is_some_and(|name| name == format!("{NAMESPACE}.{MAP_ENTRY}"))
    }

    fn union(&mut self, branches: &[Json], outer: &str, place: Use<'_>) -> Result<Node, SchemaError> {
        let is_null =
            |branch: &Json| branch == "null" || branch.get("type").is_some_and(|kind| kind == "null");
        if let ([only], true) = (branches, self.options.flattens_singletons) {
            let node = self.node(only, outer, REQUIRED)?;
            return Ok(Node { schema: node.schema.clone(), kind: Kind::Only(Box::new(node)) });
        }
        if let [first, second] = branches
            && (is_null(first) || is_null(second))
        {
            let (null, inner) = if is_null(first) { (0, second) } else { (1, first) };
            // The default of the field is that of the union, which Connect does not take.
            let inner = self.node(inner, outer, Use { is_optional: true, default: None })?;
            let schema = inner.schema.clone();
            return Ok(Node { schema, kind: Kind::Nullable { null, inner: Box::new(inner) } });
        }
        let (mut nodes, mut fields, mut is_optional) = (Vec::new(), Vec::<Field>::new(), place.is_optional);
        for (index, branch) in branches.iter().enumerate() {
            if is_null(branch) {
                is_optional = true;
                nodes.push(None);
                continue;
            }
            let node = self.node(branch, outer, Use { is_optional: true, default: None })?;
            let name: Arc<str> = self.branch_name(branch, outer, index).into();
            if fields.iter().any(|field| field.name == name) {
                return Err(invalid("two branches of a union would have one name"));
            }
            fields.push(Field { name, schema: node.schema.clone() });
            nodes.push(Some(node));
        }
        let name = self.options.union_name(UNION);
        let schema = Schema { is_optional, ..Schema::of(Type::Struct).named(&name).with_fields(fields) };
        let mut node = Node { schema: Arc::new(schema), kind: Kind::Union(nodes) };
        if let Some(default) = place.default.and_then(|default| default_of(&node, default)) {
            node.schema = Arc::new(Schema { default: Some(default), ..(*node.schema).clone() });
        }
        Ok(node)
    }

    /// The name of the field for a branch: its type, or the name of a named type.
    fn branch_name(&self, branch: &Json, outer: &str, index: usize) -> String {
        if self.options.is_generalised {
            return format!("connect_union_field_{index}");
        }
        let text = match branch {
            Json::String(name) => name.clone(),
            other => full_name(other, outer)
                .or_else(|| other.get("type").and_then(Json::as_str).map(str::to_owned))
                .unwrap_or_default(),
        };
        let qualified = format!("{outer}.{text}");
        let full = if self.definitions.contains_key(&qualified) { qualified } else { text };
        match full.rsplit_once('.') {
            Some((_, simple)) if !self.options.is_enhanced => simple.to_owned(),
            _ => full,
        }
    }
}

fn map_of(keys: Arc<Schema>, values: Arc<Schema>) -> Schema {
    let mut schema = Schema::of(Type::Map);
    (schema.keys, schema.values) = (Some(keys), Some(values));
    schema
}

/// The schema of a decimal; `None` if the type is none.
fn decimal(definition: &Map<String, Json>) -> Result<Option<Schema>, SchemaError> {
    let of_type = definition.get("logicalType").and_then(Json::as_str);
    let is_logical = of_type.is_some_and(|name| name.eq_ignore_ascii_case("decimal"));
    let is_named = definition.get("connect.name").is_some_and(|name| name == logical::DECIMAL);
    if !is_logical && !is_named {
        return Ok(None);
    }
    let parameter = || definition.get("connect.parameters")?.get("scale")?.as_str()?.parse().ok();
    let scale = definition.get("scale").and_then(Json::as_i64).or_else(parameter).unwrap_or_default();
    if scale.abs() > LARGEST_SCALE {
        return Err(invalid("the scale of a decimal is too large"));
    }
    Ok(Some(Schema { scale: scale as i32, ..Schema::of(Type::Bytes).named(logical::DECIMAL) }))
}

/// Adds what the definition and the use of a type say about its schema.
fn finish(
    kind: Kind,
    mut schema: Schema,
    definition: &Map<String, Json>,
    own_name: Option<&str>,
    place: Use<'_>,
) -> Result<Node, SchemaError> {
    let given = definition.get("connect.name").and_then(Json::as_str);
    let name = given.or(own_name).filter(|name| !name.starts_with(NAMELESS));
    match (&schema.name, given) {
        (Some(logical), Some(given)) if logical != given => {
            return Err(invalid("connect.name and logicalType differ"));
        }
        (Some(_), _) => {}
        (None, _) => schema.name = name.map(str::to_owned),
    }
    schema.is_optional = place.is_optional;
    let mut node = Node { schema: Arc::new(schema), kind };
    let default = place.default.or_else(|| definition.get("connect.default"));
    // A default of another type is ignored, as by Confluent's converter.
    if let Some(default) = default.and_then(|default| default_of(&node, default)) {
        node.schema = Arc::new(Schema { default: Some(default), ..(*node.schema).clone() });
    }
    Ok(node)
}

/// A default as a value; `None` for null, and for what is not of the type.
fn default_of(node: &Node, json: &Json) -> Option<Value<'static>> {
    let schema = &node.schema;
    let whole = |least: i64, most: i64| {
        json.as_i64().filter(|number| (least..=most).contains(number)).map(Value::Int)
    };
    // Bytes are text of which each character is one.
    let bytes =
        || json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
    match &node.kind {
        Kind::Boolean => json.as_bool().map(Value::Bool),
        Kind::Byte => whole(i8::MIN.into(), i8::MAX.into()),
        Kind::Short => whole(i16::MIN.into(), i16::MAX.into()),
        Kind::Int => whole(i32::MIN.into(), i32::MAX.into()),
        Kind::Long => json.as_i64().map(Value::Int),
        Kind::Float => json.as_f64().map(|number| Value::Single(number as f32)),
        Kind::Double => json.as_f64().map(Value::Double),
        Kind::String | Kind::Enum(_) => json.as_str().map(|text| Value::text(text.to_owned())),
        Kind::Bytes | Kind::Fixed(_) => bytes().map(|bytes| Value::Bytes(bytes.into())),
        Kind::Decimal(_) => bytes().map(|unscaled| Value::Decimal(Decimal { unscaled, scale: schema.scale })),
        Kind::Array(items) => json
            .as_array()?
            .iter()
            .map(|item| default_of(items, item))
            .collect::<Option<_>>()
            .map(Value::List),
        Kind::Map(values) => {
            let entry = |(name, value): (&String, &Json)| {
                Some((Value::text(name.clone()), default_of(values, value)?))
            };
            json.as_object()?.iter().map(entry).collect::<Option<_>>().map(Value::Map)
        }
        Kind::Record(nodes) => {
            let members = json.as_object()?;
            let field = |(node, field): (&Node, &Field)| match members.get(&*field.name) {
                Some(Json::Null) if node.schema.is_optional => Some(Value::Null),
                Some(json) => default_of(node, json),
                None => {
                    node.schema.default.clone().or_else(|| node.schema.is_optional.then_some(Value::Null))
                }
            };
            nodes.iter().zip(&schema.fields).map(field).collect::<Option<_>>().map(Value::Struct)
        }
        // The default of a union is one of its first branch.
        Kind::Nullable { null: 0, .. } | Kind::Cycle | Kind::Entries { .. } => None,
        Kind::Nullable { inner, .. } | Kind::Only(inner) => default_of(inner, json),
        Kind::Union(branches) => {
            let value = default_of(branches.first()?.as_ref()?, json)?;
            let mut values = vec![Value::Null; schema.fields.len()];
            *values.first_mut()? = value;
            Some(Value::Struct(values))
        }
    }
}

impl Node {
    /// A value inside of itself, of which Connect's schema here has no fields.
    pub(super) fn recursive() -> DataError {
        DataError::new(STEP, "a value of a recursive type is inside of another one of it")
    }
}
