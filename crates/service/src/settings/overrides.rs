//! Variables that override keys: `AQUEDUCT__KAFKA__GROUP_ID` is `kafka.group_id`.
//!
//! - Two underscores separate levels; names are lower-cased. A number steps into a list and may add one element at its
//!   end: `AQUEDUCT__FLOWS__0__NAME`.
//! - Below a table named `properties` the rest is one key, in which `_` stands for `.` and `__` for `_`:
//!   `AQUEDUCT__KAFKA__PROPERTIES__SECURITY_PROTOCOL` is `kafka.properties."security.protocol"`.
//! - The value is read as the type that its key has. A text is taken as it stands (`123` is a text where one is wanted); a
//!   list may be TOML (`["a", "b"]`) or separated by commas (`a,b`; empty: no element); a table is TOML
//!   (`{ "/type" = "view" }`). Where a key takes a text or a list, a list must be TOML.
//! - `AQUEDUCT_CONFIG` and `AQUEDUCT_LOG` have one underscore and are no overrides.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    key::Segment,
    tree::{Entry, Node, Origin, Table, Value},
};

/// How the name of every override begins.
pub const PREFIX: &str = "AQUEDUCT__";

const PROPERTIES: &str = "__properties__";

/// Lays the overrides among `variables` over the tree; the error is the variable and what is wrong with it.
pub(crate) fn apply(root: &mut Table, variables: &BTreeMap<String, String>) -> Result<(), (String, String)> {
    let mut overrides = Vec::new();
    for (name, value) in variables {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            let path = path(rest).ok_or_else(|| {
                (name.clone(), format!("no key; an override is named as {PREFIX}SECTION__KEY"))
            })?;
            overrides.push((path, name, value));
        }
    }
    // A list is filled in the order of its numbers; a whole comes before its parts.
    overrides.sort_by(|a, b| compare(&a.0, &b.0));
    for (path, name, value) in overrides {
        let origin = Origin::Variable(name.as_str().into());
        let leaf = Node { origin, value: Value::Untyped(value.clone()) };
        place_in_table(root, &path, leaf).map_err(|problem| (name.clone(), problem))?;
    }
    Ok(())
}

/// The levels that a name stands for.
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
                format!("{name} is a list of {length}; a number from 0 to {length} must follow, not {first}")
            })?;
            if index == length {
                items.push(implied(rest));
            }
            place(&mut items[index], &Segment::Index(index), rest, leaf)
        }
        _ => Err(format!("{name} is no table; {first} cannot be set in it")),
    }
}

/// What must stand where a path goes on.
fn implied(rest: &[String]) -> Node {
    let is_index = rest.first().is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
    let value = if is_index { Value::List(Vec::new()) } else { Value::Table(Table::default()) };
    Node { origin: Origin::File, value }
}
