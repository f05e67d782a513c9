//! The schemas in a JSON Schema with Connect's schema of each.
//!
//! Confluent's converter parses a JSON Schema with another library, in which several keywords beside each other are a
//! combination. [`Builder::combined`] decides about these as it does.

use std::{collections::HashMap, ptr, sync::Arc};

use codec::{
    SchemaError, SchemaText,
    json_schema::{self, Documents, Place},
};
use serde_json::{Map, Value as Json};

use super::{Options, read::Reader, tree};
use crate::data::{Budget, Field, Schema, Type, logical};

/// A schema whose parts are used in many places can be more than its text is long.
const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 64;
/// The largest scale of a decimal, so that no schema can ask for gigabytes of zeros.
const LARGEST_SCALE: i32 = 400;

const ONE_OF: &str = "io.confluent.connect.json.OneOf";

/// How a value is read, and its schema.
pub(super) struct Node {
    pub(super) schema: Arc<Schema>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A number, text, bytes or boolean.
    Scalar,
    Array(Box<Node>),
    /// An object whose members have any name.
    Map(Box<Node>),
    /// An array of objects with `key` and `value`.
    Entries {
        key: Box<Node>,
        value: Box<Node>,
    },
    Struct(Vec<Node>),
    Union(Vec<Node>),
    /// A schema inside of itself.
    Cycle,
}

/// The plan of a schema, and its title.
pub(super) fn plan(text: &SchemaText, options: Options) -> Result<(Node, Option<String>), SchemaError> {
    let (root, references) = json_schema::parse(text)?;
    let documents = Documents::new(&root, &references);
    let mut builder = Builder { documents, options, open: Vec::new(), nodes: 0 };
    let node = builder.node(documents.whole(), false)?;
    Ok((node, root.get("title").and_then(Json::as_str).map(str::to_owned)))
}

fn invalid(problem: impl Into<String>) -> SchemaError {
    SchemaError(problem.into())
}

struct Builder<'d> {
    documents: Documents<'d>,
    options: Options,
    /// The objects that enclose the current schema.
    open: Vec<&'d Json>,
    nodes: usize,
}

/// One of the keywords of a schema that decide about its type.
#[derive(Clone, Copy)]
enum Part<'d> {
    Enum,
    Const,
    All(&'d [Json]),
    /// `oneOf` or `anyOf`, or several types.
    One(&'d [Json]),
    Types(&'d [Json]),
    Type(&'d str),
}

impl<'d> Builder<'d> {
    fn node(&mut self, place: Place<'d>, is_optional: bool) -> Result<Node, SchemaError> {
        self.nodes += 1;
        if self.nodes > MOST_NODES || self.open.len() > DEEPEST {
            return Err(invalid("the schema has too many parts"));
        }
        let members = place.schema.as_object().ok_or_else(|| invalid("a schema without a type"))?;
        if let Some(reference) = members.get("$ref") {
            return self.referred(place, reference, is_optional);
        }
        let parts = parts(members);
        match parts[..] {
            [] => Err(invalid("a schema without a type")),
            [part] => self.single(place, members, part, is_optional),
            _ => self.combined(place, members, &parts, is_optional),
        }
    }

    fn referred(
        &mut self,
        place: Place<'d>,
        reference: &Json,
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        let target = self.documents.resolve(place, reference)?;
        if self.open.iter().any(|open| ptr::eq(*open, target.schema)) {
            let title = target.schema.get("title").and_then(Json::as_str);
            let schema = Schema { is_optional, name: title.map(str::to_owned), ..Schema::of(Type::Struct) };
            return Ok(Node { schema: Arc::new(schema), kind: Kind::Cycle });
        }
        // A reference can lead to itself, without an object in between.
        self.open.push(target.schema);
        let node = self.node(target, is_optional);
        self.open.pop();
        node
    }

    /// A schema with one keyword about its type.
    fn single(
        &mut self,
        place: Place<'d>,
        members: &'d Map<String, Json>,
        part: Part<'d>,
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        match part {
            Part::Const => Err(invalid("const without a type")),
            Part::All(schemas) => self.all(place, schemas, is_optional),
            Part::One(schemas) => {
                let places: Vec<Place<'d>> = schemas.iter().map(|schema| Place { schema, ..place }).collect();
                let is_null = |place: &Place<'d>| place.schema.get("type").is_some_and(|kind| kind == "null");
                if let [first, second] = places[..]
                    && (is_null(&first) || is_null(&second))
                {
                    return self.node(if is_null(&first) { second } else { first }, true);
                }
                let has_null = places.iter().any(is_null);
                let others = places.iter().filter(|place| !is_null(place));
                let nodes = others.map(|place| self.node(*place, true)).collect::<Result<Vec<_>, _>>()?;
                self.union(members, nodes, is_optional || has_null)
            }
            Part::Types(types) => {
                let names: Vec<&str> = types.iter().filter_map(Json::as_str).collect();
                let others: Vec<&str> = names.iter().copied().filter(|name| *name != "null").collect();
                let has_null = others.len() < names.len();
                if let [only] = others[..] {
                    return self.typed(place, members, only, is_optional || (has_null && names.len() == 2));
                }
                let nodes = others.iter().map(|name| self.typed(place, members, name, true));
                let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
                self.union(members, nodes, is_optional || has_null)
            }
            Part::Enum => finish(Kind::Scalar, Schema::of(Type::String), members, is_optional, self.options),
            Part::Type(name) => self.typed(place, members, name, is_optional),
        }
    }

    fn typed(
        &mut self,
        place: Place<'d>,
        members: &'d Map<String, Json>,
        name: &str,
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        let connect = members.get("connect.type").and_then(Json::as_str);
        let scalar = |kind| Ok((Kind::Scalar, Schema::of(kind)));
        let (kind, schema) = match (name, connect) {
            ("boolean", _) => scalar(Type::Boolean),
            ("integer" | "number", Some(connect)) => match connect {
                "int8" => scalar(Type::Int8),
                "int16" => scalar(Type::Int16),
                "int32" => scalar(Type::Int32),
                "int64" => scalar(Type::Int64),
                "float32" => scalar(Type::Float32),
                "float64" => scalar(Type::Float64),
                "bytes" => scalar(Type::Bytes),
                other => Err(invalid(format!("connect.type {other:?} is not the type of a number"))),
            },
            ("integer", None) => scalar(Type::Int64),
            ("number", None) => scalar(Type::Float64),
            ("string", Some("bytes")) => scalar(Type::Bytes),
            ("string", _) => scalar(Type::String),
            ("array", _) => self.array(place, members, connect),
            ("object", Some("map")) => {
                let values = members.get("additionalProperties").filter(|values| values.is_object());
                let values = values.ok_or_else(|| invalid("a map without the schema of its values"))?;
                let values = self.node(Place { schema: values, ..place }, false)?;
                let schema = map_of(Arc::new(Schema::of(Type::String)), values.schema.clone());
                Ok((Kind::Map(Box::new(values)), schema))
            }
            ("object", _) => {
                self.open.push(place.schema);
                let properties = properties(place, members);
                let structure = self.structure(properties);
                self.open.pop();
                structure
            }
            (other, _) => Err(invalid(format!("type {other:?} has none in Connect"))),
        }?;
        finish(kind, schema, members, is_optional, self.options)
    }

    fn array(
        &mut self,
        place: Place<'d>,
        members: &'d Map<String, Json>,
        connect: Option<&str>,
    ) -> Result<(Kind, Schema), SchemaError> {
        let items = members.get("items").filter(|items| items.is_object());
        let items = Place {
            schema: items.ok_or_else(|| invalid("an array without the schema of its items"))?,
            ..place
        };
        let entry = items.schema.get("properties").filter(|_| connect == Some("map"));
        if let Some((key, value)) = entry.and_then(|entry| Some((entry.get("key")?, entry.get("value")?))) {
            let key = self.node(Place { schema: key, ..place }, false)?;
            let value = self.node(Place { schema: value, ..place }, false)?;
            let schema = map_of(key.schema.clone(), value.schema.clone());
            return Ok((Kind::Entries { key: Box::new(key), value: Box::new(value) }, schema));
        }
        let node = self.node(items, false)?;
        let mut schema = Schema::of(Type::Array);
        schema.values = Some(node.schema.clone());
        Ok((Kind::Array(Box::new(node)), schema))
    }

    fn structure(
        &mut self,
        properties: Vec<(&'d str, Place<'d>, bool)>,
    ) -> Result<(Kind, Schema), SchemaError> {
        let (mut nodes, mut fields) = (Vec::new(), Vec::new());
        for (name, place, is_required) in properties {
            let is_optional = self.options.is_optional_unless_required && !is_required;
            let node = self.node(place, is_optional)?;
            fields.push(Field { name: name.into(), schema: node.schema.clone() });
            nodes.push(node);
        }
        Ok((Kind::Struct(nodes), Schema::of(Type::Struct).with_fields(fields)))
    }

    fn union(
        &mut self,
        members: &'d Map<String, Json>,
        nodes: Vec<Node>,
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        let prefix = match self.options.is_generalised {
            true => "connect_union_field_".to_owned(),
            false => format!("{ONE_OF}.field."),
        };
        let named = |(index, node): (usize, &Node)| Field {
            name: format!("{prefix}{index}").into(),
            schema: node.schema.clone(),
        };
        let fields = nodes.iter().enumerate().map(named).collect();
        let schema = Schema::of(Type::Struct).named(&self.options.union_name(ONE_OF)).with_fields(fields);
        finish(Kind::Union(nodes), schema, members, is_optional, self.options)
    }

    /// A schema with several keywords about its type, which all hold.
    fn combined(
        &mut self,
        place: Place<'d>,
        members: &'d Map<String, Json>,
        parts: &[Part<'d>],
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        let mut found = Properties::default();
        self.collect(place, &mut found, 0)?;
        if !found.order.is_empty() {
            return self.object_of(place, found, is_optional);
        }
        if let Some(part) =
            parts.iter().find(|part| matches!(part, Part::All(_) | Part::One(_) | Part::Types(_)))
        {
            return self.single(place, members, *part, is_optional);
        }
        let of_type = parts.iter().find_map(|part| match part {
            Part::Type(name) => Some(*name),
            _ => None,
        });
        match of_type {
            Some(name @ ("string" | "number" | "integer")) => self.typed(place, members, name, is_optional),
            _ => Err(invalid("a combination of schemas that Connect cannot express")),
        }
    }

    /// `allOf` alone.
    fn all(&mut self, place: Place<'d>, schemas: &'d [Json], is_optional: bool) -> Result<Node, SchemaError> {
        let mut found = Properties::default();
        for schema in schemas {
            self.collect(Place { schema, ..place }, &mut found, 0)?;
        }
        if !found.order.is_empty() {
            return self.object_of(place, found, is_optional);
        }
        let is_kind = |schema: &&Json, keys: &[&str]| keys.iter().any(|key| schema.get(*key).is_some());
        let combined = schemas.iter().find(|schema| is_kind(schema, &["oneOf", "anyOf", "allOf"]));
        let typed = || schemas.iter().find(|schema| is_kind(schema, &["type"]));
        let referred = || schemas.iter().find(|schema| is_kind(schema, &["$ref"]));
        match combined.or_else(typed).or_else(referred) {
            Some(schema) => self.node(Place { schema, ..place }, is_optional),
            None => Err(invalid("allOf without a type")),
        }
    }

    fn object_of(
        &mut self,
        place: Place<'d>,
        found: Properties<'d>,
        is_optional: bool,
    ) -> Result<Node, SchemaError> {
        self.open.push(place.schema);
        let structure = self.structure(found.into_list());
        self.open.pop();
        let (kind, schema) = structure?;
        Ok(Node { schema: Arc::new(Schema { is_optional, ..schema }), kind })
    }

    /// The properties of a schema and of those that hold with it.
    fn collect(&self, place: Place<'d>, found: &mut Properties<'d>, depth: usize) -> Result<(), SchemaError> {
        if depth > DEEPEST {
            return Err(invalid("schemas refer to each other in a circle"));
        }
        let Some(members) = place.schema.as_object() else { return Ok(()) };
        if let Some(reference) = members.get("$ref") {
            return self.collect(self.documents.resolve(place, reference)?, found, depth + 1);
        }
        for (name, schema, is_required) in properties(place, members) {
            found.add(name, schema, is_required);
        }
        for schema in members.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.collect(Place { schema, ..place }, found, depth + 1)?;
        }
        Ok(())
    }
}

/// Properties of several schemas: the last one of a name counts.
#[derive(Default)]
struct Properties<'d> {
    order: Vec<&'d str>,
    by_name: HashMap<&'d str, (Place<'d>, bool)>,
}

impl<'d> Properties<'d> {
    fn add(&mut self, name: &'d str, place: Place<'d>, is_required: bool) {
        if self.by_name.insert(name, (place, is_required)).is_none() {
            self.order.push(name);
        }
    }

    fn into_list(self) -> Vec<(&'d str, Place<'d>, bool)> {
        let of = |name: &'d str| {
            let (place, is_required) = self.by_name[name];
            (name, place, is_required)
        };
        self.order.iter().copied().map(of).collect()
    }
}

/// The properties of an object in their order, and whether each is required.
fn properties<'d>(place: Place<'d>, members: &'d Map<String, Json>) -> Vec<(&'d str, Place<'d>, bool)> {
    let required: Vec<&str> = members
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let required: std::collections::HashSet<&str> = required.into_iter().collect();
    let all = members.get("properties").and_then(Json::as_object).into_iter().flatten();
    let mut all: Vec<(&str, Place<'d>, bool)> = all
        .map(|(name, schema)| (name.as_str(), Place { schema, ..place }, required.contains(name.as_str())))
        .collect();
    let index =
        |place: &Place<'_>| place.schema.get("connect.index").and_then(Json::as_i64).unwrap_or(i64::MAX);
    all.sort_by_key(|(_, place, _)| index(place));
    all
}

fn parts(members: &Map<String, Json>) -> Vec<Part<'_>> {
    let list = |key: &str| members.get(key).and_then(Json::as_array).map(Vec::as_slice);
    let has = |keys: &[&str]| keys.iter().any(|key| members.contains_key(*key));
    let mut parts = Vec::new();
    parts.extend(has(&["enum"]).then_some(Part::Enum));
    parts.extend(list("allOf").map(Part::All));
    parts.extend(["anyOf", "oneOf"].into_iter().filter_map(list).map(Part::One));
    parts.extend(has(&["const"]).then_some(Part::Const));
    match members.get("type") {
        Some(Json::String(name)) => parts.push(Part::Type(name)),
        Some(Json::Array(types)) => parts.push(Part::Types(types)),
        Some(_) => {}
        // What a keyword is for is the type.
        None if has(&[
            "properties",
            "required",
            "additionalProperties",
            "minProperties",
            "maxProperties",
            "patternProperties",
        ]) =>
        {
            parts.push(Part::Type("object"));
        }
        None if has(&["items", "additionalItems", "minItems", "maxItems", "uniqueItems"]) => {
            parts.push(Part::Type("array"));
        }
        None if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) => {
            parts.push(Part::Type("number"));
        }
        None if has(&["minLength", "maxLength", "pattern", "format"]) => parts.push(Part::Type("string")),
        None => {}
    }
    parts
}

fn map_of(keys: Arc<Schema>, values: Arc<Schema>) -> Schema {
    let mut schema = Schema::of(Type::Map);
    (schema.keys, schema.values) = (Some(keys), Some(values));
    schema
}

/// Adds what a schema says beside its type.
fn finish(
    kind: Kind,
    mut schema: Schema,
    members: &Map<String, Json>,
    is_optional: bool,
    options: Options,
) -> Result<Node, SchemaError> {
    let title = members.get("title").and_then(Json::as_str).map(str::to_owned);
    schema.name = schema.name.or(title);
    schema.is_optional = is_optional;
    if schema.kind == Type::Bytes && schema.is_named(logical::DECIMAL) {
        let scale = members.get("connect.parameters").and_then(|all| all.get("scale"));
        let scale =
            scale.and_then(Json::as_str).and_then(|scale| scale.parse::<i32>().ok()).unwrap_or_default();
        if scale.unsigned_abs() > LARGEST_SCALE.unsigned_abs() {
            return Err(invalid("the scale of a decimal is too large"));
        }
        schema.scale = scale;
    }
    let mut node = Node { schema: Arc::new(schema), kind };
    if let Some(default) = members.get("default").filter(|default| !default.is_null()) {
        let text = default.to_string();
        let mut budget = Budget::new();
        let mut read = || {
            let tree = tree::parse(text.as_bytes(), &mut budget)?;
            Reader { budget: &mut budget, ignores_defaults: options.ignores_defaults }
                .value(&node, Some(tree))
        };
        let value =
            read().map_err(|error| invalid(format!("a default of another type: {error}")))?.into_owned();
        node.schema = Arc::new(Schema { default: Some(value), ..(*node.schema).clone() });
    }
    Ok(node)
}
