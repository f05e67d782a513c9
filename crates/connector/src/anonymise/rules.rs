//! The declared pointers as one tree: at each field of an event, one node decides its outcome.
//!
//! Patterns with `*` overlap, so a field can match several of them. The tree is therefore built like a deterministic
//! automaton from a nondeterministic one (subset construction): a node represents the set of patterns that lead to it
//! or further.
//!
//! Precedence: `remove` wins over everything at or below it; then fields that `forward` does not name are dropped; then
//! pseudonyms and URLs apply. A declaration that never decides an outcome does not check a shape either.

use std::{mem, sync::Arc};

use event::{
    Pattern, Pointer,
    pointer::{Step, array_index},
};

use super::{AnonymiseSettings, Forward, SettingsError, observer::Step as ObserverStep, order::Orders};

/// The tree. Fields that are not in it have the outcome of the last node above them.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    nodes: Vec<Node>,
    time: Option<Arc<str>>,
    /// What the events before looked like.
    orders: Orders,
}

/// The rule for a field.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) fate: Fate,
    /// A pattern leads further, so a scalar here is an unexpected shape.
    pub(super) below: Option<Arc<str>>,
    /// A pattern leads further by a name, so an array here is an unexpected shape.
    pub(super) named_below: Option<Arc<str>>,
    /// The event's time is here.
    pub(super) time: bool,
    children: Vec<Child>,
    any: Option<usize>,
}

/// The outcome of a value.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Forwarded with its content, unless a node below decides otherwise.
    Keep,
    /// Leads to something that is forwarded; everything else in it is dropped.
    Lead,
    /// Dropped with its content, because nothing forwards it.
    Drop,
    /// Dropped with its content, because of `remove`.
    Remove,
    /// A scalar that is pseudonymised.
    Pseudonymise(Arc<str>),
    /// A string that is a URL.
    StripQuery(Arc<str>),
}

/// The position in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At a node.
    Node(usize),
    /// Below a node that keeps what it does not name.
    Kept,
    /// Below a node that drops what it does not name.
    Dropped,
}

#[derive(Clone, Debug)]
struct Child {
    name: Box<str>,
    index: Option<usize>,
    node: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pseudonymise,
    Remove,
    StripQuery,
    Forward,
    Time,
}

/// A pattern, of which the first `done` steps were taken.
#[derive(Clone, Copy)]
struct Live<'s> {
    kind: Kind,
    pattern: &'s Pattern,
    /// What a reject names instead of the pattern; `None` is the pattern itself.
    label: Option<&'s Arc<str>>,
    done: usize,
}

impl Rules {
    pub(super) fn new(settings: &AnonymiseSettings, time: Option<&Pointer>) -> Result<Self, SettingsError> {
        Self::with_tagged(settings, time, &[])
    }

    /// As [`Self::new`], with further patterns to be pseudonymised, each with the text that a reject names instead: names of
    /// fields of a schema are not published.
    pub(super) fn with_tagged(
        settings: &AnonymiseSettings,
        time: Option<&Pointer>,
        tagged: &[(Pattern, Arc<str>)],
    ) -> Result<Self, SettingsError> {
        let time = time.cloned().map(Pattern::from);
        let (all, forward) = match &settings.forward {
            Forward::All => (true, [].as_slice()),
            Forward::List(list) => (false, list.as_slice()),
        };
        let mut live = Vec::new();
        for (kind, patterns) in [
            (Kind::Pseudonymise, settings.pseudonymise.patterns.as_slice()),
            (Kind::Remove, &settings.remove),
            (Kind::StripQuery, &settings.strip_query),
            (Kind::Forward, forward),
            (Kind::Time, time.as_slice()),
        ] {
            live.extend(patterns.iter().map(|pattern| Live { kind, pattern, label: None, done: 0 }));
        }
        live.extend(tagged.iter().map(|(pattern, label)| Live {
            kind: Kind::Pseudonymise,
            pattern,
            label: Some(label),
            done: 0,
        }));
        let mut rules =
            Self { nodes: Vec::new(), time: time.as_ref().map(Pattern::text), orders: Orders::default() };
        let root = rules.add(&live, all)?;
        // Even if nothing is declared to be forwarded, the output is an object.
        if matches!(rules.nodes[root].fate, Fate::Drop) {
            rules.nodes[root].fate = Fate::Lead;
        }
        Ok(rules)
    }

    /// The position at the start of the event.
    pub(super) fn root(&self) -> Place {
        Place::Node(0)
    }

    /// Lends the orders of members, which [`Self::put_orders`] returns.
    pub(super) fn take_orders(&mut self) -> Orders {
        mem::take(&mut self.orders)
    }

    pub(super) fn put_orders(&mut self, orders: Orders) {
        self.orders = orders;
    }

    /// The pointer to the event's time, if it is read.
    pub(super) fn time(&self) -> Option<&Arc<str>> {
        self.time.as_ref()
    }

    pub(super) fn node(&self, place: Place) -> Option<&Node> {
        match place {
            Place::Node(node) => Some(&self.nodes[node]),
            Place::Kept | Place::Dropped => None,
        }
    }

    /// The member with this name of an object at `place`.
    pub(super) fn member(&self, place: Place, name: &str) -> Place {
        self.child(place, |child| *child.name == *name)
    }

    /// The element with this index of an array at `place`.
    pub(super) fn element(&self, place: Place, index: usize) -> Place {
        self.child(place, |child| child.index == Some(index))
    }

    /// The step to this member, for an observer.
    pub(super) fn step<'a>(&self, place: Place, name: &'a str) -> ObserverStep<'a> {
        match self.node(place) {
            Some(node) if node.children.iter().any(|child| *child.name == *name) => {
                ObserverStep::Declared(name)
            }
            Some(node) if node.any.is_some() => ObserverStep::Any(name),
            _ => ObserverStep::Undeclared(name),
        }
    }

    /// The step to this element, for an observer.
    pub(super) fn step_to_element(&self, place: Place, index: usize) -> ObserverStep<'_> {
        let named =
            self.node(place).and_then(|node| node.children.iter().find(|child| child.index == Some(index)));
        named.map_or(ObserverStep::Element, |child| ObserverStep::Declared(&child.name))
    }

    fn child(&self, place: Place, matches: impl Fn(&Child) -> bool) -> Place {
        let Some(node) = self.node(place) else {
            return place;
        };
        let found = node.children.iter().find(|child| matches(child)).map(|child| child.node).or(node.any);
        match (found, &node.fate) {
            (Some(child), _) => Place::Node(child),
            (None, Fate::Keep) => Place::Kept,
            (None, _) => Place::Dropped,
        }
    }

    /// Adds the node for a set of patterns, and those below it. `covered` is whether it is inside something that is
    /// forwarded.
    fn add(&mut self, live: &[Live<'_>], covered_above: bool) -> Result<usize, SettingsError> {
        let ends = |kind: Kind| live.iter().find(|live| live.kind == kind && live.rest().is_empty());
        let removed = ends(Kind::Remove).is_some();
        let covered = !removed && (covered_above || ends(Kind::Forward).is_some());
        let mut below: Vec<Live<'_>> = live.iter().copied().filter(|live| !live.rest().is_empty()).collect();
        let leads = below.iter().any(|live| live.kind == Kind::Forward);
        let fate = if removed || !(covered || leads) {
            below.retain(|live| live.kind == Kind::Time);
            if removed { Fate::Remove } else { Fate::Drop }
        } else {
            scalar_fate(ends(Kind::Pseudonymise), ends(Kind::StripQuery), &below)?.unwrap_or(if covered {
                Fate::Keep
            } else {
                Fate::Lead
            })
        };
        let declared = || below.iter().filter(|live| live.kind != Kind::Time);
        let by_name =
            |live: &&Live<'_>| matches!(live.rest(), [Step::Name(name), ..] if array_index(name).is_none());
        let node = self.nodes.len();
        self.nodes.push(Node {
            fate,
            below: declared().next().map(Live::text),
            named_below: declared().find(by_name).map(Live::text),
            time: ends(Kind::Time).is_some(),
            children: Vec::new(),
            any: None,
        });
        for name in names(&below) {
            let next: Vec<Live<'_>> = below.iter().filter_map(|live| live.step(Some(name))).collect();
            let child = self.add(&next, covered)?;
            self.nodes[node].children.push(Child {
                name: name.into(),
                index: array_index(name),
                node: child,
            });
        }
        let next: Vec<Live<'_>> = below.iter().filter_map(|live| live.step(None)).collect();
        if !next.is_empty() {
            self.nodes[node].any = Some(self.add(&next, covered)?);
        }
        Ok(node)
    }
}

impl<'s> Live<'s> {
    fn rest(&self) -> &'s [Step] {
        &self.pattern.steps()[self.done..]
    }

    fn text(&self) -> Arc<str> {
        self.label.map_or_else(|| self.pattern.text(), Arc::clone)
    }

    /// The pattern after one step to this member or element, if it leads there; without a name, after a step to one
    /// that no pattern names.
    fn step(self, to: Option<&str>) -> Option<Self> {
        let fits = match (self.rest().first()?, to) {
            (Step::Any, _) => true,
            (Step::Name(name), Some(to)) => **name == *to,
            (Step::Name(_), None) => false,
        };
        fits.then_some(Self { done: self.done + 1, ..self })
    }
}

/// The names by which the patterns continue, once each.
fn names<'s>(below: &[Live<'s>]) -> Vec<&'s str> {
    let mut names: Vec<&str> = Vec::new();
    for live in below {
        if let Some(Step::Name(name)) = live.rest().first()
            && !names.contains(&&**name)
        {
            names.push(name);
        }
    }
    names
}

/// The outcome of a field that is declared to be a scalar.
fn scalar_fate(
    pseudonym: Option<&Live<'_>>,
    url: Option<&Live<'_>>,
    below: &[Live<'_>],
) -> Result<Option<Fate>, SettingsError> {
    let (list, scalar) = match (pseudonym, url) {
        (None, None) => return Ok(None),
        // A tag protects more than a URL without its query does.
        (Some(pseudonym), Some(_)) if pseudonym.label.is_some() => ("pseudonymise", pseudonym),
        (Some(pseudonym), Some(url)) => {
            return Err(SettingsError::Both { url: url.text(), pseudonym: pseudonym.text() });
        }
        (Some(pseudonym), None) => ("pseudonymise", pseudonym),
        (None, Some(url)) => ("strip_query", url),
    };
    if let Some(below) = below.iter().find(|live| live.kind != Kind::Time) {
        return Err(SettingsError::Inside { list, scalar: scalar.text(), below: below.text() });
    }
    Ok(Some(if scalar.kind == Kind::Pseudonymise {
        Fate::Pseudonymise(scalar.text())
    } else {
        Fate::StripQuery(scalar.text())
    }))
}
