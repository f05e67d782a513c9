//! Deserializes a node of the tree into any type.
//!
//! A deserializer of our own for three reasons: a variable takes the type of its key, `${...}` is expanded only where
//! it is read, and an error knows its key and line.
//!
//! serde stops at the first error. To report the others too, the node is read again without the values that were
//! rejected, until it can be read or nothing is left of it.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    expand::Context,
    fault::Fault,
    key::Segment,
    tree::{self, Entry, Node, Value},
};

/// Reads all of `node`.
///
/// # Errors
/// Every independent error; never empty.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, context: &Context) -> Result<T, Vec<Fault>> {
    let mut fault = match read_once(node, context) {
        Ok(value) => return Ok(value),
        Err(fault) => fault,
    };
    let mut rest = node.clone();
    let mut faults: Vec<Fault> = Vec::new();
    loop {
        let rejected = fault.rejected();
        let is_new = fault.is_independent(&rest) && !faults.iter().any(|known| fault.follows_from(known));
        let is_left = rest.omit(&rejected);
        if is_new {
            faults.push(fault);
        }
        if !is_left {
            return Err(faults);
        }
        match read_once::<T>(&rest, context) {
            Ok(_) => return Err(faults),
            Err(next) => fault = next,
        }
    }
}

fn read_once<T: DeserializeOwned>(node: &Node, context: &Context) -> Result<T, Fault> {
    T::deserialize(Reader { node, context }).map_err(|fault| fault.within(node, context))
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    context: &'a Context,
}

impl<'a> Reader<'a> {
    fn with(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn expand(self, text: &str) -> Result<String, Fault> {
        self.context.expand(text).map_err(Fault::new)
    }

    /// The content of a variable that is written as a TOML list or table.
    fn parse_whole(self, text: &str) -> Result<Node, Fault> {
        tree::parse_value(text, &self.node.origin)
            .map_err(|problem| Fault::new(format!("invalid TOML: {problem}")))
    }

    /// The content of a variable as a number or boolean, if it is one.
    fn parse_scalar(self, text: &str) -> Option<Node> {
        let node = tree::parse_value(text, &self.node.origin).ok()?;
        matches!(node.value, Value::Integer(_) | Value::Float(_) | Value::Boolean(_)).then_some(node)
    }

    fn seq<'de, V: Visitor<'de>>(self, items: &[Node], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Items { reader: self, items, next: 0 })
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &[Entry], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Entries { reader: self, entries: entries.iter(), current: None })
    }

    fn untyped<'de, V: Visitor<'de>>(self, text: &str, visitor: V) -> Result<V::Value, Fault> {
        if text.trim_start().starts_with(['[', '{']) {
            let whole = self.parse_whole(text)?;
            return self
                .with(&whole)
                .deserialize_any(visitor)
                .map_err(|fault| fault.within(&whole, self.context));
        }
        let expanded = self.expand(text)?;
        match self.parse_scalar(&expanded) {
            Some(scalar) => self.with(&scalar).deserialize_any(visitor),
            None => visitor.visit_string(expanded),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_string(self.expand(text)?),
            // Nothing else is bytes: see `Fault::invalid_type`.
            Value::Time(text) => visitor.visit_bytes(text.as_bytes()),
            Value::Untyped(text) => self.untyped(text, visitor),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::List(items) => self.seq(items, visitor),
            Value::Table(table) => self.map(&table.entries, visitor),
            Value::Omitted => visitor.visit_unit(),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Untyped(text) => visitor.visit_string(self.expand(text)?),
            Value::Time(text) => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Untyped(text) if !text.trim_start().starts_with(['[', '{']) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let item = |part: &str| Node {
                    origin: self.node.origin.clone(),
                    value: Value::Untyped(part.to_owned()),
                };
                self.seq(&parts.map(item).collect::<Vec<_>>(), visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::Untyped(text) => {
                let name = self.expand(text)?;
                let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Table(table) => visitor.visit_enum(MapAccessDeserializer::new(Entries {
                reader: self,
                entries: table.entries.iter(),
                current: None,
            })),
            _ => Err(Fault::new("expected a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct map struct
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let left = self.items.iter().enumerate().skip(self.next);
        let Some((index, node)) = left.into_iter().find(|(_, node)| !node.is_omitted()) else {
            return Ok(None);
        };
        self.next = index + 1;
        let value = seed.deserialize(self.reader.with(node));
        value.map(Some).map_err(|fault| fault.within(node, self.reader.context).below(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.find(|entry| !entry.node.is_omitted());
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at_key(entry))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let entry = self.current.take().expect("serde reads a value only after its key");
        let (node, context) = (&entry.node, self.reader.context);
        let value = seed.deserialize(self.reader.with(node));
        value.map_err(|fault| fault.within(node, context).below(Segment::Key(entry.key.clone())))
    }
}
