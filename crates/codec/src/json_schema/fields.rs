//! The fields that a JSON Schema describes, with their pointers, kinds and tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    ptr,
    sync::Arc,
};

use event::Pattern;
use serde_json::{Map, Value};

use super::documents::{Documents, Place};
use crate::{Field, Kind, SchemaError};

/// The fields of a schema whose parts are used in many places can be many more than its text is long.
const MAX_FIELDS: usize = 20_000;

type TagSet = BTreeSet<Arc<str>>;

/// Every field under the `properties` and `items` of a schema, of all its alternatives.
///
/// What is inside a recursive schema is listed where it occurs first. Where it occurs again inside of itself, the field
/// has the tags of everything in it, because no pattern leads to what is below at any depth. An object or array with a
/// tag passes it on to what is inside, and has it itself if there can be members that the schema does not list.
pub(super) fn fields(documents: Documents<'_>) -> Result<Vec<Field>, SchemaError> {
    let mut lister =
        Lister { documents, fields: Vec::new(), places: BTreeMap::new(), open: Vec::new(), visited: 0 };
    lister.inside(&lister.documents.parts(documents.whole())?, "", false, &TagSet::new())?;
    Ok(lister.fields)
}

/// One of the schemas that describe a value together.
struct Part<'d> {
    place: Place<'d>,
    members: &'d Map<String, Value>,
    /// Whether it is one of several alternatives, so that what only it has can be missing.
    is_alternative: bool,
}

struct Lister<'d> {
    documents: Documents<'d>,
    fields: Vec<Field>,
    /// The indexes of `fields` by pointer.
    places: BTreeMap<String, usize>,
    /// The schemas that enclose the current field.
    open: Vec<&'d Value>,
    visited: usize,
}

impl<'d> Documents<'d> {
    /// The schema itself and those that it combines, by `$ref`, `allOf`, `anyOf` and the like.
    fn parts(&self, place: Place<'d>) -> Result<Vec<Part<'d>>, SchemaError> {
        let (mut parts, mut next) = (Vec::<Part<'d>>::new(), vec![(place, false)]);
        while let Some((place, is_alternative)) = next.pop() {
            // `true` and `false` describe nothing.
            let Some(members) = place.schema.as_object() else { continue };
            if parts.iter().any(|part| ptr::eq(part.place.schema, place.schema)) {
                continue;
            }
            for (name, value) in members {
                let schemas = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let is_one_of_several = match name.as_str() {
                    "$ref" | "$dynamicRef" | "$recursiveRef" => {
                        next.push((self.resolve(place, value)?, is_alternative));
                        continue;
                    }
                    "allOf" => is_alternative,
                    // With null it is one schema that is optional.
                    "anyOf" | "oneOf" => {
                        is_alternative || schemas.iter().filter(|schema| !is_null(schema)).count() > 1
                    }
                    "then" | "else" => {
                        next.push((Place { schema: value, ..place }, true));
                        continue;
                    }
                    "dependentSchemas" => {
                        let schemas = value.as_object().into_iter().flat_map(Map::values);
                        next.extend(schemas.map(|schema| (Place { schema, ..place }, true)));
                        continue;
                    }
                    _ => continue,
                };
                next.extend(schemas.iter().map(|schema| (Place { schema, ..place }, is_one_of_several)));
            }
            parts.push(Part { place, members, is_alternative });
        }
        Ok(parts)
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

impl<'d> Lister<'d> {
    fn field(
        &mut self,
        place: Place<'d>,
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        // Fields that are listed several times are counted, too: of combined schemas they can be very many.
        self.visited += 1;
        if self.visited > MAX_FIELDS {
            return Err(SchemaError(format!("the schema has more than {MAX_FIELDS} fields")));
        }
        let parts = self.documents.parts(place)?;
        let kinds: BTreeSet<_> = parts.iter().flat_map(|part| kinds(part.members)).collect();
        let is_optional = is_optional || kinds.contains("null");
        let mut tags = outer.clone();
        tags.extend(parts.iter().flat_map(|part| tags_of(part.members)));
        let is_recursive =
            parts.iter().any(|part| self.open.iter().any(|open| ptr::eq(*open, part.place.schema)));
        if is_recursive {
            tags.extend(self.tags_inside(place)?);
            return self.add(path, kind(&kinds), is_optional, &tags);
        }
        let is_listed = match kind(&kinds) {
            Kind::Object => parts.iter().any(|part| {
                part.members.get("additionalProperties").is_some_and(|value| value != &Value::Bool(true))
            }),
            Kind::Array => parts.iter().any(|part| part.members.get("items").is_some_and(Value::is_object)),
            _ => false,
        };
        let none = TagSet::new();
        self.add(path, kind(&kinds), is_optional, if is_listed { &none } else { &tags })?;
        self.inside(&parts, path, is_optional, &tags)
    }

    fn inside(
        &mut self,
        parts: &[Part<'d>],
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        let opened = self.open.len();
        self.open.extend(parts.iter().map(|part| part.place.schema));
        for part in parts {
            let is_optional = is_optional || part.is_alternative;
            let required =
                part.members.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for (step, schema) in children(part.members) {
                let is_optional = is_optional
                    || match &step {
                        Step::Member(name) => !required.iter().any(|required| required == name),
                        Step::Index(_) | Step::AnyMember => true,
                        Step::Element => false,
                    };
                let path = match step {
                    Step::Member(name) => format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
                    Step::Index(index) => format!("{path}/{index}"),
                    Step::Element | Step::AnyMember => format!("{path}/*"),
                };
                self.field(Place { schema, ..part.place }, &path, is_optional, outer)?;
            }
        }
        self.open.truncate(opened);
        Ok(())
    }

    fn add(&mut self, path: &str, kind: Kind, is_optional: bool, tags: &TagSet) -> Result<(), SchemaError> {
        if let Some(&index) = self.places.get(path) {
            let field = &mut self.fields[index];
            if field.kind != kind {
                field.kind = Kind::Several;
            }
            field.optional &= is_optional;
            field.tags = field.tags.iter().chain(tags).cloned().collect::<TagSet>().into_iter().collect();
            return Ok(());
        }
        let pattern: Pattern = path.parse().map_err(|error| SchemaError(format!("{error}")))?;
        self.places.insert(path.to_owned(), self.fields.len());
        self.fields.push(Field {
            pattern,
            kind,
            optional: is_optional,
            tags: tags.iter().cloned().collect(),
        });
        Ok(())
    }

    /// The tags of a schema and of everything inside it.
    fn tags_inside(&self, place: Place<'d>) -> Result<TagSet, SchemaError> {
        let (mut tags, mut seen, mut next) = (TagSet::new(), Vec::<&Value>::new(), vec![place]);
        while let Some(place) = next.pop() {
            if seen.iter().any(|seen| ptr::eq(*seen, place.schema)) {
                continue;
            }
            seen.push(place.schema);
            for part in self.documents.parts(place)? {
                tags.extend(tags_of(part.members));
                next.extend(children(part.members).map(|(_, schema)| Place { schema, ..part.place }));
            }
        }
        Ok(tags)
    }
}

/// From an object or array to what is inside.
enum Step<'d> {
    Member(&'d str),
    /// Any member.
    AnyMember,
    Index(usize),
    /// Any element.
    Element,
}

/// The schemas of members and elements.
fn children(members: &Map<String, Value>) -> impl Iterator<Item = (Step<'_>, &Value)> {
    let object = |name: &str| members.get(name).and_then(Value::as_object).into_iter().flatten();
    let array = |name: &str| members.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
    let schema = |name: &str| members.get(name).filter(|value| value.is_object()).into_iter();
    let named = object("properties").map(|(name, schema)| (Step::Member(name), schema));
    let any_member = object("patternProperties").map(|(_, schema)| schema);
    let any_member = any_member.chain(schema("additionalProperties")).chain(schema("unevaluatedProperties"));
    let indexed =
        array("items").chain(array("prefixItems")).map(|(index, schema)| (Step::Index(index), schema));
    let any_element = schema("items").chain(schema("additionalItems")).chain(schema("unevaluatedItems"));
    named
        .chain(any_member.map(|schema| (Step::AnyMember, schema)))
        .chain(indexed)
        .chain(any_element.map(|schema| (Step::Element, schema)))
}

/// The types that a schema names or implies, in its own words, and `date-time` for a string that is a time.
fn kinds(members: &Map<String, Value>) -> Vec<&str> {
    let of_value = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let named = match members.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if members.contains_key("properties") => vec!["object"],
        _ if members.contains_key("items") => vec!["array"],
        _ => {
            let values = members.get("enum").and_then(Value::as_array).into_iter().flatten();
            values.chain(members.get("const")).map(of_value).collect()
        }
    };
    let is_time = members.get("format").and_then(Value::as_str) == Some("date-time");
    let exact = |name| match name {
        "integer" => "number",
        "string" if is_time => "date-time",
        name => name,
    };
    named.into_iter().map(exact).collect()
}

fn kind(kinds: &BTreeSet<&str>) -> Kind {
    let mut others = kinds.iter().filter(|&&kind| kind != "null");
    match (others.next().copied(), others.next()) {
        (Some("boolean"), None) => Kind::Bool,
        (Some("number"), None) => Kind::Number,
        (Some("string"), None) => Kind::Text,
        (Some("date-time"), None) => Kind::Time,
        (Some("array"), None) => Kind::Array,
        (Some("object"), None) => Kind::Object,
        (None, None) if !kinds.is_empty() => Kind::Null,
        _ => Kind::Several,
    }
}

fn tags_of(members: &Map<String, Value>) -> impl Iterator<Item = Arc<str>> {
    let tags = members.get("confluent:tags").and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(Value::as_str).map(Arc::from)
}
