//! From JSON to values, as the plan says.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    error,
    plan::{Kind, Node},
    tree::Tree,
};
use crate::{
    converters::decimal_of,
    data::{Budget, DataError, Decimal, Schema, Type, Value, logical},
};

/// More digits take quadratic time to write.
const LONGEST_DECIMAL: usize = 512;

pub(super) struct Reader<'b> {
    pub(super) budget: &'b mut Budget,
    /// Whether null stays null although there is a default.
    pub(super) ignores_defaults: bool,
}

impl Reader<'_> {
    /// The value of a node; `None` is a property that is missing.
    pub(super) fn value<'a>(&mut self, node: &Node, tree: Option<Tree<'a>>) -> Result<Value<'a>, DataError> {
        let schema = &node.schema;
        let tree = match tree {
            None | Some(Tree::Null) => {
                return match (&schema.default, &tree) {
                    (Some(default), _) if !self.ignores_defaults => {
                        self.budget.copy(default)?;
                        Ok(default.clone())
                    }
                    (_, None) => Ok(Value::Null),
                    _ if schema.is_optional => Ok(Value::Null),
                    _ => Err(error("null where a value is required")),
                };
            }
            Some(tree) => tree,
        };
        match (&node.kind, tree) {
            (Kind::Scalar, tree) => scalar(schema, tree),
            (Kind::Array(items), Tree::Array(elements)) => {
                self.budget.values(elements.len())?;
                let values = elements.into_iter().map(|element| self.value(items, Some(element)));
                Ok(Value::List(values.collect::<Result<_, _>>()?))
            }
            (Kind::Map(values), Tree::Object(members)) => {
                self.budget.values(2 * members.len())?;
                let entry = |(name, tree): (Cow<'a, str>, _)| {
                    Ok((Value::Text(name), self.value(values, Some(tree))?))
                };
                Ok(Value::Map(members.into_iter().map(entry).collect::<Result<_, DataError>>()?))
            }
            (Kind::Entries { key, value }, Tree::Array(elements)) => {
                self.budget.values(2 * elements.len())?;
                let entries = elements.into_iter().map(|element| self.entry(key, value, element));
                Ok(Value::Map(entries.collect::<Result<_, _>>()?))
            }
            (Kind::Struct(nodes), Tree::Object(members)) => self.structure(schema, nodes, members),
            (Kind::Union(nodes), tree) => {
                let place =
                    matching(nodes, &tree).ok_or_else(|| error("a value of none of the alternatives"))?;
                self.budget.values(nodes.len())?;
                let mut values = vec![Value::Null; nodes.len()];
                values[place] = self.value(&nodes[place], Some(tree))?;
                Ok(Value::Struct(values))
            }
            (Kind::Cycle, _) => Err(error("a value of a recursive schema is inside of another one of it")),
            _ => Err(mismatch()),
        }
    }

    fn structure<'a>(
        &mut self,
        schema: &Schema,
        nodes: &[Node],
        members: Vec<(Cow<'a, str>, Tree<'a>)>,
    ) -> Result<Value<'a>, DataError> {
        self.budget.values(2 * nodes.len())?;
        let mut trees: Vec<Option<Tree<'a>>> = Vec::new();
        trees.resize_with(nodes.len(), || None);
        for (name, tree) in members {
            if let Some(place) = schema.place(&name) {
                trees[place] = Some(tree);
            }
        }
        let values = nodes.iter().zip(trees).map(|(node, tree)| self.value(node, tree));
        Ok(Value::Struct(values.collect::<Result<_, _>>()?))
    }

    fn entry<'a>(
        &mut self,
        key: &Node,
        value: &Node,
        tree: Tree<'a>,
    ) -> Result<(Value<'a>, Value<'a>), DataError> {
        let expected = || error("an entry of a map must be an object with key and value");
        let Tree::Object(members) = tree else { return Err(expected()) };
        let (mut found_key, mut found_value, count) = (None, None, members.len());
        for (name, tree) in members {
            match &*name {
                "key" => found_key = Some(tree),
                "value" => found_value = Some(tree),
                _ => return Err(expected()),
            }
        }
        if count != 2 {
            return Err(expected());
        }
        Ok((self.value(key, found_key)?, self.value(value, found_value)?))
    }
}

/// The first alternative of the value's type, or else the struct with the most of its members.
fn matching(nodes: &[Node], tree: &Tree<'_>) -> Option<usize> {
    if let Some(place) = nodes.iter().position(|node| is_of(&node.schema, tree)) {
        return Some(place);
    }
    let Tree::Object(members) = tree else { return None };
    let known = |node: &Node| {
        let names: std::collections::BTreeSet<&str> = members
            .iter()
            .map(|(name, _)| &**name)
            .filter(|name| node.schema.place(name).is_some())
            .collect();
        names.len()
    };
    let structs = nodes.iter().enumerate().filter(|(_, node)| node.schema.kind == Type::Struct);
    // Of several, the first one.
    let best = structs
        .map(|(place, node)| (known(node), place))
        .max_by_key(|(count, place)| (*count, usize::MAX - place));
    best.map(|(_, place)| place)
}

fn is_of(schema: &Schema, tree: &Tree<'_>) -> bool {
    match (schema.kind, tree) {
        (Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64, Tree::Number(text)) => {
            !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        }
        (Type::Float32 | Type::Float64, Tree::Number(_))
        | (Type::Boolean, Tree::Bool(_))
        | (Type::String, Tree::Text(_))
        | (Type::Array, Tree::Array(_))
        | (Type::Map, Tree::Object(_) | Tree::Array(_)) => true,
        _ => false,
    }
}

fn scalar<'a>(schema: &Schema, tree: Tree<'a>) -> Result<Value<'a>, DataError> {
    match (schema.kind, tree) {
        (Type::Boolean, Tree::Bool(value)) => Ok(Value::Bool(value)),
        (Type::Int8, Tree::Number(text)) => whole(&text, i8::MIN.into(), i8::MAX.into()),
        (Type::Int16, Tree::Number(text)) => whole(&text, i16::MIN.into(), i16::MAX.into()),
        (Type::Int32, Tree::Number(text)) if schema.is_named(logical::TIME) => whole(&text, 0, 86_400_000),
        (Type::Int32, Tree::Number(text)) => whole(&text, i32::MIN.into(), i32::MAX.into()),
        (Type::Int64, Tree::Number(text)) => whole(&text, i64::MIN, i64::MAX),
        (Type::Float32, Tree::Number(text)) => text.parse().map(Value::Single).map_err(|_| mismatch()),
        (Type::Float64, Tree::Number(text)) => text.parse().map(Value::Double).map_err(|_| mismatch()),
        (Type::String, Tree::Text(text)) => Ok(Value::Text(text)),
        (Type::Bytes, Tree::Number(text)) => {
            decimal_of(&text).ok_or_else(|| error("a decimal of more than 38 digits"))
        }
        (Type::Bytes, Tree::Text(text)) => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| error("bytes must be base64"))?;
            match schema.is_named(logical::DECIMAL) {
                false => Ok(Value::Bytes(bytes.into())),
                true if bytes.is_empty() || bytes.len() > LONGEST_DECIMAL => {
                    Err(error("a decimal without digits, or of more than 512 bytes"))
                }
                true => Ok(Value::Decimal(Decimal { unscaled: bytes, scale: schema.scale })),
            }
        }
        _ => Err(mismatch()),
    }
}

/// A whole number, which may be written as `1.0`.
fn whole(text: &str, least: i64, most: i64) -> Result<Value<'static>, DataError> {
    let exact = |text: &str| {
        let number: f64 = text.parse().ok()?;
        // Beyond this, a float64 has no digits after the point, and not all before it.
        (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
    };
    let number = text.parse().ok().or_else(|| exact(text)).filter(|number| (least..=most).contains(number));
    number.map(Value::Int).ok_or_else(|| error("a number that does not fit its type"))
}

fn mismatch() -> DataError {
    error("a value that is not of the type in its schema")
}
