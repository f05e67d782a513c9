//! Reads several fields of an event in one pass over its bytes.
//!
//! It also handles data from other producers: of duplicate member names the first one counts (taking the last would
//! delay every result until the end of the event), escaped names are decoded, and a pointer that leads through a scalar
//! finds nothing. The whole text is checked, including what follows the last field.

use std::borrow::Cow;

use crate::{
    json::{Error, Scanner, Text, Token},
    pointer::{Pointer, array_index},
};

/// The value that a pointer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The pointer leads nowhere.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string, with its escapes decoded.
    Text(Cow<'a, str>),
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Value<'_> {
    /// A string as it is, a number or boolean as its JSON text, and `None` for everything else.
    pub fn scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Missing | Self::Null | Self::Array | Self::Object => None,
        }
    }

    /// Whether there is no value: the pointer leads nowhere, or to `null`.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// Whether it is an array or an object.
    pub fn is_container(&self) -> bool {
        matches!(self, Self::Array | Self::Object)
    }
}

/// What is reused from one event to the next: memory, and the order of members, which a producer rarely changes.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    values: Vec<Value<'static>>,
    /// For each node, the members of the last object at that node.
    order: Vec<Vec<Known>>,
    seen: Vec<bool>,
}

/// A member of the last object, and the node that it leads to.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The name in quotes with its colon, which the next event most likely has at the same position. Empty if nothing
    /// is remembered.
    text: Vec<u8>,
    child: Option<usize>,
}

impl Known {
    fn is_next(&self, scanner: &mut Scanner<'_>) -> bool {
        !self.text.is_empty() && scanner.next_member_is(&self.text).is_some()
    }
}

/// Longer names, and members beyond this number, are looked up each time.
const KNOWN_BYTES: usize = 64;
const KNOWN: usize = 512;

impl Scratch {
    /// An empty list.
    pub fn take<'a>(&mut self) -> Vec<Value<'a>> {
        emptied(std::mem::take(&mut self.values))
    }

    /// Keeps the memory of the list.
    pub fn put(&mut self, values: Vec<Value<'_>>) {
        self.values = emptied(values);
    }
}

/// Reuses the memory for values of another lifetime: collecting from a list into one of the same layout happens in
/// place.
fn emptied<'a>(mut values: Vec<Value<'_>>) -> Vec<Value<'a>> {
    values.clear();
    values.into_iter().map(|_| Value::Missing).collect()
}

/// The fields to read, as a tree.
#[derive(Clone, Debug)]
pub struct Picker {
    /// The first node is the event itself.
    nodes: Vec<Node>,
    pointers: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted by name. An event can have as many members as a configuration has columns, and each may be looked up.
    children: Vec<Child>,
    /// The children that can be an element of an array, by index.
    elements: Vec<(usize, usize)>,
    /// The pointers that end at this node, by their position in the list.
    ends: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Child {
    name: Box<str>,
    node: usize,
}

impl Node {
    /// The position of the child with this name, or the position at which it would be inserted.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.children.binary_search_by(|child| {
            count_comparison();
            (*child.name).cmp(name)
        })
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.place(name).ok().map(|place| self.children[place].node)
    }

    fn indexed(&self, index: usize) -> Option<usize> {
        let place = self.elements.binary_search_by(|(found, _)| {
            count_comparison();
            found.cmp(&index)
        });
        place.ok().map(|place| self.elements[place].1)
    }
}

impl Picker {
    /// Prepares the lookup; a pointer may occur more than once.
    pub fn new(pointers: &[Pointer]) -> Self {
        let mut picker = Self { nodes: vec![Node::default()], pointers: pointers.len() };
        for (position, pointer) in pointers.iter().enumerate() {
            let mut node = 0;
            for name in pointer.names() {
                node = picker.child_or_new(node, name);
            }
            picker.nodes[node].ends.push(position);
        }
        picker
    }

    /// Fills `out` with the value at each pointer, in the order of the pointers. A scratch must not be shared between
    /// pickers.
    ///
    /// # Errors
    /// If the payload is not a JSON object; the contents of `out` are then meaningless.
    pub fn pick<'a>(
        &self,
        payload: &'a [u8],
        scratch: &mut Scratch,
        out: &mut Vec<Value<'a>>,
    ) -> Result<(), Error> {
        out.clear();
        out.resize(self.pointers, Value::Missing);
        let mut scanner = Scanner::object(payload)?;
        scratch.seen.clear();
        scratch.seen.resize(self.nodes.len(), false);
        scratch.order.resize_with(self.nodes.len(), Vec::new);
        Pass { picker: self, scanner: &mut scanner, scratch, out }.members(0)?;
        scanner.finish()
    }

    fn child_or_new(&mut self, node: usize, name: &str) -> usize {
        let place = match self.nodes[node].place(name) {
            Ok(found) => return self.nodes[node].children[found].node,
            Err(place) => place,
        };
        let new = self.nodes.len();
        self.nodes.push(Node::default());
        let parent = &mut self.nodes[node];
        parent.children.insert(place, Child { name: name.into(), node: new });
        if let Some(index) = array_index(name) {
            // Each index has only one text, so none occurs twice.
            let place = parent.elements.partition_point(|(found, _)| *found < index);
            parent.elements.insert(place, (index, new));
        }
        new
    }

    fn named(&self, node: usize, name: Text<'_>) -> Option<usize> {
        let node = &self.nodes[node];
        if name.is_escaped() { node.named(&name.decode()) } else { node.named(name.raw()) }
    }
}

/// One pass over one payload.
struct Pass<'p, 'a> {
    picker: &'p Picker,
    scanner: &'p mut Scanner<'a>,
    /// Nodes that have been reached; a second member with the same name is skipped.
    scratch: &'p mut Scratch,
    out: &'p mut Vec<Value<'a>>,
}

impl Pass<'_, '_> {
    fn members(&mut self, node: usize) -> Result<(), Error> {
        let mut number = 0;
        loop {
            let child = match self.scratch.order[node].get(number) {
                Some(known) if known.is_next(self.scanner) => known.child,
                _ => match self.scanner.next_member()? {
                    Some(member) => self.look_up(node, number, member.name),
                    None => return Ok(()),
                },
            };
            number += 1;
            self.child(child)?;
        }
    }

    /// The node of a member, which is remembered for the next event.
    fn look_up(&mut self, node: usize, number: usize, name: Text<'_>) -> Option<usize> {
        let child = self.picker.named(node, name);
        if number >= KNOWN {
            return child;
        }
        let order = &mut self.scratch.order[node];
        if order.len() <= number {
            order.resize_with(number + 1, Known::default);
        }
        let known = &mut order[number];
        known.child = child;
        known.text.clear();
        if name.raw().len() <= KNOWN_BYTES {
            known.text.push(b'"');
            known.text.extend_from_slice(name.raw().as_bytes());
            known.text.extend_from_slice(b"\":");
        }
        child
    }

    fn elements(&mut self, node: usize) -> Result<(), Error> {
        let mut index = 0;
        while self.scanner.next_element()? {
            let child = self.picker.nodes[node].indexed(index);
            self.child(child)?;
            index += 1;
        }
        Ok(())
    }

    /// Reads the next value, for a node or for none.
    fn child(&mut self, node: Option<usize>) -> Result<(), Error> {
        let Some(node) = node.filter(|&node| !self.scratch.seen[node]) else {
            return self.scanner.skip_value();
        };
        self.scratch.seen[node] = true;
        let token = self.scanner.value()?;
        let ends = &self.picker.nodes[node].ends;
        if !ends.is_empty() {
            let value = value(token);
            for &end in ends {
                self.out[end] = value.clone();
            }
        }
        match token {
            Token::Object => self.members(node),
            Token::Array => self.elements(node),
            _ => Ok(()),
        }
    }
}

/// The cost of reading an event, for the test that bounds it.
#[cfg(not(test))]
#[inline]
fn count_comparison() {}

#[cfg(test)]
use tests::count_comparison;

fn value(token: Token<'_>) -> Value<'_> {
    match token {
        Token::Object => Value::Object,
        Token::Array => Value::Array,
        Token::Text(text) => Value::Text(text.decode()),
        Token::Number(number) => Value::Number(number),
        Token::True => Value::Bool(true),
        Token::False => Value::Bool(false),
        Token::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::tests as strategy;

    thread_local! {
        static COMPARISONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    pub(super) fn count_comparison() {
        COMPARISONS.with(|count| count.set(count.get() + 1));
    }

    /// Comparisons for one event with this many members, or elements, each of which a pointer names.
    fn comparisons(places: usize, payload: &str, pointer: impl Fn(usize) -> String) -> u64 {
        let pointers: Vec<Pointer> =
            (0..places).map(|place| pointer(place).parse().expect("a pointer")).collect();
        let picker = Picker::new(&pointers);
        let mut out = Vec::new();
        COMPARISONS.with(|count| count.set(0));
        picker.pick(payload.as_bytes(), &mut Scratch::default(), &mut out).expect("an object");
        assert!(out.iter().all(|value| *value == Value::Number("1")), "each place is found");
        COMPARISONS.with(std::cell::Cell::get)
    }

    #[test]
    fn lookups_are_at_most_n_log_n() {
        let members = |places: usize| {
            let members: Vec<String> = (0..places).map(|place| format!("\"m{place}\":1")).collect();
            comparisons(places, &format!("{{{}}}", members.join(",")), |place| format!("/m{place}"))
        };
        let elements = |places: usize| {
            let payload = format!("{{\"a\":[{}]}}", vec!["1"; places].join(","));
            comparisons(places, &payload, |place| format!("/a/{place}"))
        };
        for (few, many) in [(members(500), members(4_000)), (elements(500), elements(4_000))] {
            // 8 times as many fields, each with three more comparisons.
            assert!(many <= 8 * (few + 4 * 500), "{few} and {many}");
            assert!(few <= 500 * 11, "{few}");
        }
    }

    fn pointers(texts: &[&str]) -> Vec<Pointer> {
        texts.iter().map(|text| text.parse().expect("a pointer")).collect()
    }

    fn check(payload: &str, texts: &[&str], expect: &[Value<'_>]) {
        let mut out = Vec::new();
        Picker::new(&pointers(texts))
            .pick(payload.as_bytes(), &mut Scratch::default(), &mut out)
            .expect("an object");
        assert_eq!(out, expect, "{payload}");
    }

    #[test]
    fn places_are_found() {
        let payload = r#"{"t":1.50,"a":{"b":"x\ty","n":null,"l":[true,{"k":"v"}]},"o":{},"t":2}"#;
        let texts = [
            "/t", "/a/b", "/a/n", "/a/l/0", "/a/l/1/k", "/a/l", "/o", "/t/x", "/none", "/a/l/2", "/t",
            "/a/n/x",
        ];
        let text = |text: &'static str| Value::Text(text.into());
        let missing = Value::Missing;
        let expect = [
            Value::Number("1.50"),
            text("x\ty"),
            Value::Null,
            Value::Bool(true),
            text("v"),
            Value::Array,
            Value::Object,
            missing.clone(),
            missing.clone(),
            missing.clone(),
            Value::Number("1.50"),
            missing,
        ];
        check(payload, &texts, &expect);
    }

    #[test]
    fn the_first_of_two_members_counts() {
        check(r#"{"a":null,"a":1}"#, &["/a"], &[Value::Null]);
        check(r#"{"a":{"x":1},"a":{"y":2}}"#, &["/a/x", "/a/y"], &[Value::Number("1"), Value::Missing]);
        check(r#"{"\u0061":1,"a":2}"#, &["/a"], &[Value::Number("1")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check("\u{feff}{\"a\":1}", &["/a"], &[Value::Number("1")]);
    }

    #[test]
    fn errors_after_the_last_field_count() {
        let picker = Picker::new(&pointers(&["/a"]));
        for payload in ["{\"a\":1,\"b\":tru}", "{\"a\":1}}", "[]"] {
            assert!(
                picker.pick(payload.as_bytes(), &mut Scratch::default(), &mut Vec::new()).is_err(),
                "{payload}"
            );
        }
    }

    #[test]
    fn many_places_are_found() {
        let texts: Vec<String> = (0..128).map(|n| format!("/m{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut out = Vec::new();
        let picker = Picker::new(&pointers(&texts));
        picker.pick(br#"{"m127":7,"m0":1}"#, &mut Scratch::default(), &mut out).expect("an object");
        assert_eq!(
            (&out[0], &out[1], &out[127]),
            (&Value::Number("1"), &Value::Missing, &Value::Number("7"))
        );
    }

    /// Whether serde_json's value equals the picked one.
    fn same(theirs: Option<&serde_json::Value>, ours: &Value<'_>) -> bool {
        use serde_json::Value as V;
        match (theirs, ours) {
            (None, Value::Missing) | (Some(V::Null), Value::Null) => true,
            (Some(V::Array(_)), Value::Array) | (Some(V::Object(_)), Value::Object) => true,
            (Some(V::Bool(a)), Value::Bool(b)) => a == b,
            (Some(V::Number(a)), Value::Number(b)) => a.to_string() == **b,
            (Some(V::String(a)), Value::Text(b)) => a == b,
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn picking_equals_serde_jsons_lookup(
            event in strategy::object(),
            before in strategy::object(),
            names in proptest::collection::vec(proptest::collection::vec(strategy::name(), 1..4), 1..6),
            pretty in any::<bool>(),
        ) {
            let escape = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let texts: Vec<String> = names.iter().map(|names| names.iter().map(escape).collect()).collect();
            prop_assume!(texts.iter().all(|text| !text.split('/').any(|name| name == "*")));
            let pointers: Vec<Pointer> = texts.iter().map(|text| text.parse().expect("a pointer")).collect();
            let payload = if pretty { format!("{event:#}") } else { event.to_string() };
            let mut out = Vec::new();
            let (picker, mut scratch) = (Picker::new(&pointers), Scratch::default());
            // Regardless of what was read before: another event, or the same one, whose order of members is then known.
            let before = before.to_string();
            for payload in [&before, &payload, &payload] {
                picker.pick(payload.as_bytes(), &mut scratch, &mut out).expect("an object");
            }
            for (text, ours) in texts.iter().zip(&out) {
                prop_assert!(same(event.pointer(text), ours), "{} {:?} {}", text, ours, payload);
            }
        }
    }
}
