//! The fields of the events of a schema, with their pointers, kinds and tags.

use std::{collections::BTreeSet, sync::Arc};

use event::Pattern;
use rustc_hash::FxHashMap;

use super::plan::{Labels, Node, NodeId, Plan};
use crate::{Field, Kind, SchemaError, write::MAX_DEPTH};

/// The fields of a schema whose types are used in many places can be many more than its text is long.
const MAX_FIELDS: usize = 20_000;

/// Every field. What is inside a recursive type is listed where the type occurs first; where it occurs again inside of
/// itself, the field has the tags of everything in it, because no pattern leads to what is below at any depth.
///
/// A tag of a record, array or map is a tag of all values in it: so it can be pseudonymised or removed value by value.
pub(super) fn fields(plan: &Plan, labels: &Labels) -> Result<Vec<Field>, SchemaError> {
    let mut lister = Lister {
        plan,
        labels,
        fields: Vec::new(),
        places: FxHashMap::default(),
        open: Vec::new(),
        reachable: FxHashMap::default(),
    };
    lister.inside(plan.root, "", false, &BTreeSet::new())?;
    Ok(lister.fields)
}

type TagSet = BTreeSet<Arc<str>>;

struct Lister<'p> {
    plan: &'p Plan,
    labels: &'p Labels,
    fields: Vec<Field>,
    /// The indexes of `fields` by pointer.
    places: FxHashMap<String, usize>,
    /// The records that enclose the current field.
    open: Vec<NodeId>,
    /// The tags inside recursive types.
    reachable: FxHashMap<NodeId, TagSet>,
}

impl Lister<'_> {
    /// A field of a type, and what is inside.
    fn field(
        &mut self,
        id: NodeId,
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        let branches = self.branches(id);
        let is_optional = is_optional || branches.iter().any(|&branch| self.plan.node(branch) == Node::Null);
        let mut tags = TagSet::new();
        for &branch in &branches {
            let own = self.labels.of_node(branch);
            if self.open.contains(&branch) {
                tags.extend(outer.iter().chain(own).cloned());
                tags.extend(self.reachable(branch).iter().cloned());
            } else if kind(self.plan.node(branch))
                .is_some_and(|kind| !matches!(kind, Kind::Array | Kind::Object))
            {
                tags.extend(outer.iter().chain(own).cloned());
            }
        }
        let kind = self.kind_of(&branches);
        self.add(path, kind, is_optional, tags)?;
        self.inside(id, path, is_optional, outer)
    }

    /// The fields inside a type.
    fn inside(
        &mut self,
        id: NodeId,
        path: &str,
        is_optional: bool,
        outer: &TagSet,
    ) -> Result<(), SchemaError> {
        // Nothing that is deeper can be decoded, and no recursion is deeper than this one.
        if path.split('/').count() > MAX_DEPTH as usize {
            return Ok(());
        }
        let branches = self.branches(id);
        let others = branches.iter().filter(|&&branch| self.plan.node(branch) != Node::Null).count();
        // What only one of several branches has can be missing.
        let is_optional = is_optional || others > 1;
        for branch in branches {
            if self.open.contains(&branch) {
                continue;
            }
            let mut tags = outer.clone();
            if !path.is_empty() {
                tags.extend(self.labels.of_node(branch).iter().cloned());
            }
            match self.plan.node(branch) {
                Node::Record { members } => {
                    self.open.push(branch);
                    let (plan, labels) = (self.plan, self.labels);
                    for (name, own, node) in plan.labelled(members, labels) {
                        let mut tags = tags.clone();
                        tags.extend(own.iter().cloned());
                        self.field(node, &format!("{path}/{name}"), is_optional, &tags)?;
                    }
                    self.open.pop();
                }
                Node::Array { items: inner } | Node::Map { values: inner } => {
                    self.field(inner, &format!("{path}/*"), is_optional, &tags)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, kind: Kind, is_optional: bool, tags: TagSet) -> Result<(), SchemaError> {
        if let Some(&index) = self.places.get(path) {
            let field = &mut self.fields[index];
            if field.kind != kind {
                field.kind = Kind::Several;
            }
            field.optional |= is_optional;
            field.tags = field.tags.drain(..).chain(tags).collect::<TagSet>().into_iter().collect();
            return Ok(());
        }
        if self.fields.len() == MAX_FIELDS {
            return Err(SchemaError(format!("the schema has more than {MAX_FIELDS} fields")));
        }
        let pattern: Pattern = path.parse().map_err(|error| SchemaError(format!("{error}")))?;
        self.places.insert(path.to_owned(), self.fields.len());
        self.fields.push(Field { pattern, kind, optional: is_optional, tags: tags.into_iter().collect() });
        Ok(())
    }

    /// The branches of a union, or the type itself.
    fn branches(&self, id: NodeId) -> Vec<NodeId> {
        match self.plan.node(id) {
            Node::Union { branches } => self.plan.branches(branches).to_vec(),
            _ => vec![id],
        }
    }

    fn kind_of(&self, branches: &[NodeId]) -> Kind {
        let kinds = branches.iter().filter_map(|&branch| kind(self.plan.node(branch)));
        let merge = |one: Kind, other: Kind| if one == other { one } else { Kind::Several };
        kinds.reduce(merge).unwrap_or(Kind::Null)
    }

    /// The tags of everything inside a type.
    fn reachable(&mut self, id: NodeId) -> &TagSet {
        let (plan, labels) = (self.plan, self.labels);
        self.reachable.entry(id).or_insert_with(|| tags_inside(plan, labels, id))
    }
}

fn tags_inside(plan: &Plan, labels: &Labels, id: NodeId) -> TagSet {
    let (mut tags, mut seen, mut next) = (TagSet::new(), BTreeSet::new(), vec![id]);
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        tags.extend(labels.of_node(id).iter().cloned());
        match plan.node(id) {
            Node::Record { members } => {
                for (_, own, node) in plan.labelled(members, labels) {
                    tags.extend(own.iter().cloned());
                    next.push(node);
                }
            }
            Node::Array { items: inner } | Node::Map { values: inner } => next.push(inner),
            Node::Union { branches } => next.extend(plan.branches(branches)),
            _ => {}
        }
    }
    tags
}

/// What a type is as JSON; `None` for null, which only makes a field optional.
fn kind(node: Node) -> Option<Kind> {
    match node {
        Node::Null => None,
        Node::Boolean => Some(Kind::Bool),
        Node::Int
        | Node::Long
        | Node::Float
        | Node::Double
        | Node::DecimalBytes { .. }
        | Node::DecimalFixed { .. }
        | Node::BigDecimal => Some(Kind::Number),
        Node::Timestamp(_) => Some(Kind::Time),
        Node::Bytes
        | Node::String
        | Node::Fixed { .. }
        | Node::Enum { .. }
        | Node::Uuid
        | Node::Date
        | Node::Time(_)
        | Node::LocalTimestamp(_)
        | Node::Duration => Some(Kind::Text),
        Node::Array { .. } => Some(Kind::Array),
        Node::Map { .. } | Node::Record { .. } => Some(Kind::Object),
        // A union has no unions as branches.
        Node::Union { .. } => Some(Kind::Several),
    }
}
