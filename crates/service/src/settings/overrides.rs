//! Variables that override keys: `AQUEDUCT__KAFKA__GROUP_ID` is `kafka.group_id`.
//!
//! - Two underscores separate levels; names are lower-cased. A number selects an element of a list, and may append
//!   one: `AQUEDUCT__FLOWS__0__NAME`.
//! - Below a table named `properties`, the rest is one key, in which `_` means `.` and `__` means `_`:
//!   `AQUEDUCT__KAFKA__PROPERTIES__SECURITY_PROTOCOL` is `kafka.properties."security.protocol"`.
//! - The value is read as the type of its key. A string is taken as it is (`123` is a string where one is expected);
//!   a list may be TOML (`["a", "b"]`) or separated by commas (`a,b`; empty: no element); a table is TOML
//!   (`{ "/type" = "view" }`). Where a key accepts a string or a list, a list must be TOML.
//! - `AQUEDUCT_CONFIG` and `AQUEDUCT_LOG` have one underscore and are not overrides.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    key::Segment,
    tree::{Entry, Node, Origin, Table, Value},
};

/// The prefix of every override.
pub const PREFIX: &str = "AQUEDUCT__";

const PROPERTIES: &str = "__properties__";

/// Applies the overrides among `variables` to the tree. Returns the variables that name no key, with their problems.
pub(crate) fn apply(root: &mut Table, variables: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let (mut overrides, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match path(rest) {
            Some(path) => overrides.push((path, name, value)),
            None => errors
                .push((name.clone(), format!("the name contains no key; expected {PREFIX}SECTION__KEY"))),
        }
    }
    // Lists are filled in the order of their indices, and a whole value before its parts.
    overrides.sort_by(|a, b| compare(&a.0, &b.0));
    for (path, name, value) in overrides {
        let origin = Origin::Variable(name.as_str().into());
        let leaf = Node { origin, value: Value::Untyped(value.clone()) };
        errors.extend(place_in_table(root, &path, leaf).err().map(|problem| (name.clone(), problem)));
    }
    errors
}

/// The path of a name.
fn path(rest: &str) -> Option<Vec<String>> {
    let lower = rest.to_ascii_lowercase();
    let (levels, property) = match lower.find(PROPERTIES) {
        Some(at) if at > 0 => {
            let end = at + PROPERTIES.len();
            (&lower[..end - 2], Some(dotted(&lower[end..])))
        }
        _ => (lower.as_str(), None),
    };
    let path: Vec<String> = levels.split("__").map(str::to_owned).chain(property).collect();
    path.iter().all(|level| !level.is_empty()).then_some(path)
}

fn dotted(name: &str) -> String {
    name.split("__").map(|part| part.replace('_', ".")).collect::<Vec<_>>().join("_")
}

fn compare(a: &[String], b: &[String]) -> Ordering {
    let levels = a.iter().zip(b).map(|(a, b)| match (a.parse::<usize>(), b.parse::<usize>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    });
    levels.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
}

fn place_in_table(table: &mut Table, path: &[String], leaf: Node) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let found = table.entries.iter().position(|entry| entry.key == *first);
    let found =
        found.or_else(|| table.entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(first)));
    let at = found.unwrap_or_else(|| {
        table.entries.push(Entry { key: first.clone(), origin: leaf.origin.clone(), node: implied(rest) });
        table.entries.len() - 1
    });
    let entry = &mut table.entries[at];
    place(&mut entry.node, &Segment::Key(entry.key.clone()), rest, leaf)
}

fn place(node: &mut Node, name: &Segment, path: &[String], leaf: Node) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *node = leaf;
        return Ok(());
    };
    match &mut node.value {
        Value::Table(table) => place_in_table(table, path, leaf),
        Value::List(items) => {
            let length = items.len();
            let index = first.parse().ok().filter(|index| *index <= length);
            let index: usize = index.ok_or_else(|| {
                format!("{name} is a list with {length} elements; expected a number from 0 to {length}, found {first}")
            })?;
            if index == length {
                items.push(implied(rest));
            }
            place(&mut items[index], &Segment::Index(index), rest, leaf)
        }
        // Its error was reported.
        Value::Omitted => Ok(()),
        _ => Err(format!("{name} is not a table; cannot set {first} in it")),
    }
}

/// The type that a value must have so that a path can continue in it.
fn implied(rest: &[String]) -> Node {
    let is_index = rest.first().is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
    let value = if is_index { Value::List(Vec::new()) } else { Value::Table(Table::default()) };
    Node { origin: Origin::File, value }
}
