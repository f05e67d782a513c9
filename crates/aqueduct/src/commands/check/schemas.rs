//! What the configuration reads of events, compared with every registered version of a topic's schema.
//!
//! Pure: fields in, findings out. See `connections` for the registry.

use std::{collections::BTreeMap, sync::Arc};

use codec::{Envelope, Field, Kind};
use event::{EventsSettings, Pattern, Pointer, pointer::Step};
use flow::Flow;
use pubsub::PubSubSettings;

use crate::config::{Need, filtered, places, published};

/// A value that the configuration reads or protects.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The dotted key that names it, such as `events.time`.
    pub(super) key: String,
    pattern: Pattern,
    need: Need,
}

/// What is found about one pointer in the versions of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The key.
    pub(super) key: String,
    pointer: String,
    problem: Problem,
    /// The versions that have the problem.
    versions: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Problem {
    Missing,
    Unfit(&'static str, &'static str),
    Nullable,
}

/// Everything that the configuration reads of the events of a topic.
pub(super) fn wanted(
    topic: &str,
    events: Option<&EventsSettings>,
    anonymise: Option<&connector::anonymise::AnonymiseSettings>,
    flows: &[Flow],
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut add = |key: String, pattern: Pattern, need| wanted.push(Wanted { key, pattern, need });
    if let Some(events) = events {
        let own = events.topics.get(topic);
        let of = |key: &str, own: Option<&Pointer>, all: Option<&Pointer>| match (own, all) {
            (Some(own), _) => Some((format!("events.topics.{topic}.{key}"), own.clone())),
            (None, Some(all)) => Some((format!("events.{key}"), all.clone())),
            (None, None) => None,
        };
        let time = of("time", own.and_then(|own| own.time.as_ref()), Some(&events.time));
        if let Some((key, pointer)) = time {
            add(key, pointer.into(), Need::Time);
        }
        let id = of("id", own.and_then(|own| own.id.as_ref()), events.id.as_ref());
        if let Some((key, pointer)) = id {
            add(key, pointer.into(), Need::Scalar);
        }
    }
    if let Some(anonymise) = anonymise {
        for (list, patterns, need) in [
            ("pseudonymise", &anonymise.pseudonymise.patterns, Need::Protected),
            ("remove", &anonymise.remove, Need::Anything),
            ("strip_query", &anonymise.strip_query, Need::Url),
        ] {
            for pattern in patterns {
                add(format!("anonymise.{list}"), pattern.clone(), need);
            }
        }
        if let connector::anonymise::Forward::List(list) = &anonymise.forward {
            for pattern in list {
                add("anonymise.forward".to_owned(), pattern.clone(), Need::Anything);
            }
        }
    }
    for place in places(flows) {
        add(place.key.clone(), place.pointer.clone().into(), place.need());
    }
    wanted
}

/// What decides whether and where an event is published.
pub(super) fn outgoing(pubsub: &PubSubSettings) -> Vec<Wanted> {
    let places = filtered(pubsub).into_iter().chain(published(pubsub));
    places.map(|(key, pointer)| Wanted { key, pattern: pointer.into(), need: Need::Scalar }).collect()
}

/// The fields of an event after its envelope was taken off.
pub(super) fn unwrapped(fields: &[Field], envelope: Option<&Envelope>) -> Vec<Field> {
    envelope.map_or_else(|| fields.to_vec(), |envelope| envelope.fields(fields))
}

/// The tags of the configuration that a version has nowhere.
pub(super) fn absent_tags<'a>(tags: &'a [Arc<str>], fields: &[Field]) -> Vec<&'a Arc<str>> {
    tags.iter().filter(|tag| !fields.iter().any(|field| field.tags.contains(tag))).collect()
}

/// Compares what is wanted with the fields of each version of a subject.
pub(super) fn findings(wanted: &[Wanted], versions: &[(u32, &[Field])]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Wanted { key, pattern, need } in wanted {
        let mut problems: BTreeMap<Problem, Vec<u32>> = BTreeMap::new();
        for (version, fields) in versions {
            if let Some(problem) = problem(pattern, *need, fields) {
                problems.entry(problem).or_default().push(*version);
            }
        }
        findings.extend(problems.into_iter().map(|(problem, versions)| Finding {
            key: key.clone(),
            pointer: pattern.as_str().to_owned(),
            problem,
            versions,
        }));
    }
    findings
}

fn problem(pattern: &Pattern, need: Need, fields: &[Field]) -> Option<Problem> {
    // A pattern may lead to several fields, and to what is inside a map or union that is not listed further.
    let mut found = fields.iter().filter(|field| leads_to(pattern, &field.pattern)).peekable();
    if found.peek().is_none() {
        return Some(Problem::Missing);
    }
    let kinds: Vec<&Field> = found.collect();
    let unfit = kinds.iter().find_map(|field| need.unfit(field.kind));
    if let Some((expected, found)) = unfit {
        return Some(Problem::Unfit(expected, found));
    }
    let is_read = !matches!(need, Need::Protected | Need::Url | Need::Anything);
    (is_read && kinds.iter().all(|field| field.optional)).then_some(Problem::Nullable)
}

/// Whether a pattern of the configuration leads to a field; an index leads to the elements of an array.
fn leads_to(pattern: &Pattern, field: &Pattern) -> bool {
    let fits = |(ours, theirs): (&Step, &Step)| ours == theirs || *ours == Step::Any || *theirs == Step::Any;
    pattern.steps().len() == field.steps().len() && pattern.steps().iter().zip(field.steps()).all(fits)
}

impl Need {
    /// What is needed and what was found, if they do not fit.
    fn unfit(self, kind: Kind) -> Option<(&'static str, &'static str)> {
        let expected = match self {
            Self::Anything => return None,
            Self::Time if matches!(kind, Kind::Time | Kind::Number | Kind::Text) => return None,
            Self::Number if kind == Kind::Number => return None,
            Self::Url if matches!(kind, Kind::Text | Kind::Null) => return None,
            Self::Scalar | Self::Protected if !matches!(kind, Kind::Array | Kind::Object) => {
                return None;
            }
            _ if kind == Kind::Several => return None,
            Self::Time => "a time",
            Self::Number => "a number",
            Self::Url => "a string",
            Self::Scalar | Self::Protected => "a single value",
        };
        let found = match kind {
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Time => "a time",
            Kind::Array => "an array",
            Kind::Object => "an object",
            Kind::Null => "always null",
            Kind::Several => "one of several types",
        };
        Some((expected, found))
    }
}

impl Finding {
    /// As text, about the schema of a topic in a file.
    pub(super) fn of_file(&self, topic: &str) -> String {
        self.text(&format!("the schema of topic {topic}"))
    }

    /// As text, about the versions of a subject.
    pub(super) fn of_subject(&self, subject: &str) -> String {
        let noun = if self.versions.len() == 1 { "version" } else { "versions" };
        let versions: Vec<String> = self.versions.iter().map(u32::to_string).collect();
        self.text(&format!("{noun} {} of subject {subject}", versions.join(", ")))
    }

    fn text(&self, place: &str) -> String {
        let pointer = &self.pointer;
        match self.problem {
            Problem::Missing => format!("{pointer:?} does not exist in {place}"),
            Problem::Unfit(expected, found) => {
                format!("{pointer:?} is {found} in {place}, where {expected} is needed")
            }
            Problem::Nullable => format!("{pointer:?} can be null or missing in {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(pattern: &str, kind: Kind, optional: bool) -> Field {
        Field { pattern: pattern.parse().expect("a pattern"), kind, optional, tags: Vec::new() }
    }

    fn want(pattern: &str, need: Need) -> Wanted {
        Wanted { key: "k".to_owned(), pattern: pattern.parse().expect("a pattern"), need }
    }

    /// The problems of a pointer in two versions.
    #[track_caller]
    fn check(pattern: &str, need: Need, expected: &[(Problem, &[u32])]) {
        let first = [
            field("/time", Kind::Time, false),
            field("/user", Kind::Object, false),
            field("/user/id", Kind::Text, false),
            field("/tags", Kind::Array, false),
            field("/tags/*", Kind::Text, false),
            field("/price", Kind::Number, false),
        ];
        let second = [
            field("/time", Kind::Bool, false),
            field("/user", Kind::Object, true),
            field("/user/id", Kind::Text, true),
            field("/price", Kind::Several, true),
        ];
        let found = findings(&[want(pattern, need)], &[(1, &first), (3, &second)]);
        let found: Vec<_> =
            found.iter().map(|finding| (finding.problem, finding.versions.as_slice())).collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn pointers_are_compared_with_each_version() {
        check("/time", Need::Time, &[(Problem::Unfit("a time", "a boolean"), &[3])]);
        check("/user/id", Need::Scalar, &[(Problem::Nullable, &[3])]);
        check("/user/id", Need::Protected, &[]);
        check("/user", Need::Protected, &[(Problem::Unfit("a single value", "an object"), &[1, 3])]);
        check("/tags/0", Need::Scalar, &[(Problem::Missing, &[3])]);
        check("/tags/*", Need::Protected, &[(Problem::Missing, &[3])]);
        check("/gone", Need::Anything, &[(Problem::Missing, &[1, 3])]);
        check("/price", Need::Number, &[(Problem::Nullable, &[3])]);
        check("/price", Need::Anything, &[]);
        check("/user/*", Need::Url, &[]);
    }
}
