//! Contradictions between sections: pseudonyms that change under a flow, and values that a flow or `[pubsub]` reads but
//! `[anonymise]` changes or does not forward.
//!
//! Pure.

use connector::{
    anonymise::{AnonymiseSettings, Forward},
    keyring::Keyring,
};
use event::{EventsSettings, Pattern, Pointer, pointer::Step};
use flow::{
    Flow,
    matching::{Match, Subject, Term},
    measure::{Aggregation, Source},
};
use pubsub::PubSubSettings;

/// The sections that depend on each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Across<'a> {
    /// `[anonymise]`.
    pub anonymise: &'a AnonymiseSettings,
    /// `[events]`.
    pub events: Option<&'a EventsSettings>,
    /// `[[flows]]`.
    pub flows: &'a [Flow],
    /// `[pubsub]`.
    pub pubsub: Option<&'a PubSubSettings>,
}

/// A value that the processor reads, and the key that declares it.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The dotted key, such as `flows[0].by.page`.
    pub key: String,
    /// Where the value is in the event.
    pub pointer: &'a Pointer,
    role: Role,
}

/// The use of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Compared between events: a key, an ID, a join, a distinct count.
    Compared,
    /// Compared with values of the configuration.
    Matched,
    /// Used as a number: sum, minimum or maximum.
    Number,
}

/// What a pointer of the configuration needs at its place in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A time.
    Time,
    /// A number.
    Number,
    /// A single value.
    Scalar,
    /// A single value that may be missing, because it is only protected.
    Protected,
    /// A string that may be missing.
    Url,
    /// Anything.
    Anything,
}

impl Place<'_> {
    /// What the flow needs there.
    pub(crate) fn need(&self) -> Need {
        match self.role {
            Role::Number => Need::Number,
            Role::Compared | Role::Matched => Need::Scalar,
        }
    }
}

impl<'a> Across<'a> {
    /// Errors by key, independent of the keyring: a measure of a value that is not a number any more, and a topic or an
    /// ordering key from a value that may not pass.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let hidden = |(key, pointer): (String, Pointer)| {
            let text = format!(
                "{:?} may not pass: [anonymise] removes it or does not forward it; choose a field that is forwarded or pseudonymised",
                pointer.as_str()
            );
            (!self.passes(&pointer)).then_some((key, text))
        };
        let published = self.pubsub.map(published).unwrap_or_default();
        published.into_iter().filter_map(hidden).chain(self.errors_of_flows()).collect()
    }

    fn errors_of_flows(&self) -> Vec<(String, String)> {
        let error = |place: Place<'a>| {
            let pointer = place.pointer.as_str();
            let (what, next) = if self.is_pseudonymised(place.pointer) {
                (
                    "pseudonymised",
                    "a pseudonym is not a number; measure another field, or remove this one from anonymise.pseudonymise",
                )
            } else if self.is_removed(place.pointer) {
                (
                    "removed",
                    "the processor does not receive it; measure another field, or remove it from anonymise.remove",
                )
            } else {
                return None;
            };
            Some((place.key, format!("{pointer:?} is {what} by [anonymise]: {next}")))
        };
        places(self.flows).into_iter().filter(|place| place.role == Role::Number).filter_map(error).collect()
    }

    /// Errors by key: pseudonyms differ between keys, so with several keys the same person, event or view would not
    /// match.
    pub(crate) fn rotation_errors(&self, keyring: &Keyring) -> Vec<(String, String)> {
        if keyring.keys().len() < 2 {
            return Vec::new();
        }
        let text = |place: Place<'a>| {
            let text = format!(
                "{:?} is pseudonymised and the keyring has {} keys: pseudonyms of the same value differ between keys, so equal values would not match; use a value that is not pseudonymised, or a keyring with one key",
                place.pointer.as_str(),
                keyring.keys().len(),
            );
            (place.key, text)
        };
        let compared = self.ids().into_iter().chain(places(self.flows));
        let compared = compared.filter(|place| place.role == Role::Compared);
        compared.filter(|place| self.is_pseudonymised(place.pointer)).map(text).collect()
    }

    /// Keys of flows whose value does not reach the processor unchanged, and the consequence, without those of
    /// [`Self::errors`].
    pub(crate) fn warnings(&self) -> Vec<(String, String)> {
        let text = |place: Place<'_>| {
            let pointer = place.pointer.as_str();
            let text = if !self.passes(place.pointer) {
                format!("{pointer:?} is not forwarded by [anonymise], so the processor cannot read it")
            } else if place.role == Role::Matched && self.is_pseudonymised(place.pointer) {
                format!(
                    "{pointer:?} is pseudonymised by [anonymise], so it never equals a value of the configuration"
                )
            } else {
                return None;
            };
            Some((place.key, text))
        };
        let errors = self.errors_of_flows();
        let places = places(self.flows).into_iter();
        places.filter(|place| errors.iter().all(|(key, _)| *key != place.key)).filter_map(text).collect()
    }

    /// The pointers of event IDs.
    fn ids(&self) -> Vec<Place<'a>> {
        let Some(events) = self.events else { return Vec::new() };
        let place = |key, pointer| Place { key, pointer, role: Role::Compared };
        let general = events.id.iter().map(|id| place("events.id".to_owned(), id));
        let of_topics = events.topics.iter().filter_map(|(topic, own)| Some((topic, own.id.as_ref()?)));
        let of_topics = of_topics.map(|(topic, id)| place(format!("events.topics.{topic}.id"), id));
        general.chain(of_topics).collect()
    }

    fn passes(&self, pointer: &Pointer) -> bool {
        let forwarded = match &self.anonymise.forward {
            Forward::All => true,
            Forward::List(list) => list.iter().any(|pattern| leads_to(pattern, pointer)),
        };
        forwarded && !self.is_removed(pointer)
    }

    fn is_pseudonymised(&self, pointer: &Pointer) -> bool {
        self.anonymise.pseudonymise.patterns.iter().any(|pattern| leads_to(pattern, pointer))
    }

    fn is_removed(&self, pointer: &Pointer) -> bool {
        self.anonymise.remove.iter().any(|pattern| leads_to(pattern, pointer))
    }
}

/// The values of published events that decide where an event goes, with the keys that declare them.
pub(crate) fn published(pubsub: &PubSubSettings) -> Vec<(String, Pointer)> {
    let topic = pubsub.route().map(|route| ("pubsub.topic".to_owned(), route.pointer));
    let key = pubsub.ordering_key.clone().map(|pointer| ("pubsub.ordering_key".to_owned(), pointer));
    topic.into_iter().chain(key).collect()
}

/// The values of events that the filter reads, with the keys that declare them.
pub(crate) fn filtered(pubsub: &PubSubSettings) -> Vec<(String, Pointer)> {
    let terms = pubsub.filter.as_ref().and_then(|filter| filter.resolve()).map(|filter| filter.terms);
    let place = |term: Term| match term.subject {
        Subject::At(pointer) => Some((format!("pubsub.filter.\"{}\"", pointer.as_str()), pointer)),
        Subject::Topic => None,
    };
    terms.unwrap_or_default().into_iter().filter_map(place).collect()
}

/// Every value of events that flows read.
pub(crate) fn places(flows: &[Flow]) -> Vec<Place<'_>> {
    flows.iter().enumerate().flat_map(|(number, flow)| of_flow(number, flow)).collect()
}

fn of_flow(number: usize, flow: &Flow) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    let place = |key: &str, pointer, role| Place { key: format!("flows[{number}].{key}"), pointer, role };
    for (column, pointer) in &flow.by {
        places.push(place(&format!("by.{}", quoted(column)), pointer, Role::Compared));
    }
    if let Some(join) = &flow.join {
        places.push(place("join.on", &join.view, Role::Compared));
        places.extend((join.click != join.view).then(|| place("join.on", &join.click, Role::Compared)));
    }
    for fed in flow.fed.iter().filter(|fed| fed.source == Source::Events) {
        let measure = format!("measures.{}", quoted(&fed.name));
        let (word, role) = match &fed.aggregation {
            Aggregation::Count => ("count", Role::Matched),
            Aggregation::Sum(_) => ("sum", Role::Number),
            Aggregation::Min(_) => ("min", Role::Number),
            Aggregation::Max(_) => ("max", Role::Number),
            Aggregation::Distinct { .. } => ("distinct", Role::Compared),
        };
        places.extend(fed.aggregation.at().map(|at| place(&format!("{measure}.{word}"), at, role)));
    }
    for (key, matched) in matches(flow) {
        places.extend(matched.terms.iter().filter_map(|term| match &term.subject {
            Subject::At(pointer) => {
                Some(place(&format!("{key}.\"{}\"", pointer.as_str()), pointer, Role::Matched))
            }
            Subject::Topic => None,
        }));
    }
    places
}

/// The conditions of a flow, with the keys that declare them.
fn matches(flow: &Flow) -> Vec<(String, &Match)> {
    let mut matches: Vec<(String, &Match)> = Vec::new();
    matches.extend(flow.events.iter().map(|events| ("where".to_owned(), events)));
    if let Some(ctr) = &flow.ctr {
        matches.extend([("views".to_owned(), &ctr.views), ("clicks".to_owned(), &ctr.clicks)]);
    }
    for fed in flow.fed.iter().filter(|fed| fed.source == Source::Events) {
        let key = if fed.aggregation == Aggregation::Count { "count" } else { "where" };
        let key = format!("measures.{}.{key}", quoted(&fed.name));
        matches.extend(fed.events.iter().map(|events| (key.clone(), events)));
    }
    matches
}

/// Names of topics that `kafka.topics` does not have, in conditions of flows and in `[events.topics]`: the keys, and what
/// follows. Not errors, because a topic may be removed while flows that name it stay.
pub(crate) fn unread_topics(
    flows: &[Flow],
    events: Option<&EventsSettings>,
    topics: &[&str],
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut look = |key: String, topic: &str| {
        if !topics.contains(&topic) {
            let hint = service::settings::hint(topic, topics, "topics");
            found
                .push((key, format!("{topic:?} is not in kafka.topics, so no event has this topic; {hint}")));
        }
    };
    for topic in events.iter().flat_map(|events| events.topics.keys()) {
        look(format!("events.topics.{}", quoted(topic)), topic);
    }
    for (number, flow) in flows.iter().enumerate() {
        for (key, matched) in matches(flow) {
            for term in matched.terms.iter().filter(|term| term.subject == Subject::Topic) {
                term.any_of
                    .texts()
                    .iter()
                    .for_each(|topic| look(format!("flows[{number}].{key}.topic"), topic));
            }
        }
    }
    found
}

/// A name as a part of a dotted key.
pub(super) fn quoted(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { name.to_owned() } else { format!("\"{name}\"") }
}

/// Whether the pattern matches the value, or one that contains it.
fn leads_to(pattern: &Pattern, place: &Pointer) -> bool {
    let mut names = place.names();
    pattern.steps().iter().all(|step| match (step, names.next()) {
        (_, None) => false,
        (Step::Any, Some(_)) => true,
        (Step::Name(step), Some(name)) => **step == *name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_topic_or_ordering_key_must_be_able_to_pass() {
        let pubsub: PubSubSettings = serde_json::from_value(json!({
            "project": "p", "topic": "e-{/c}", "topics": ["e-1"], "ordering_key": "/a/u", "filter": { "/f": 1 },
        }))
        .expect("settings");
        assert_eq!(filtered(&pubsub)[0].0, "pubsub.filter.\"/f\"");
        let check = |anonymise: Value, expected: &[&str]| {
            let anonymise: AnonymiseSettings = serde_json::from_value(anonymise).expect("settings");
            let across = Across { anonymise: &anonymise, events: None, flows: &[], pubsub: Some(&pubsub) };
            let found: Vec<_> = across.errors().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, expected, "{anonymise:?}");
        };
        check(json!({ "forward": "all", "pseudonymise": ["/a/u"] }), &[]);
        check(json!({ "forward": ["/a", "/c"] }), &[]);
        check(json!({ "forward": ["/c"], "pseudonymise": ["/a/u"] }), &["pubsub.ordering_key"]);
        check(json!({ "forward": ["/a/u/x", "/c"] }), &["pubsub.ordering_key"]);
        let both = ["pubsub.topic", "pubsub.ordering_key"];
        check(json!({ "forward": "all", "remove": ["/a", "/c"] }), &both);
        check(json!({ "forward": "all", "remove": ["/*/u"] }), &["pubsub.ordering_key"]);
    }

    #[test]
    fn patterns_cover_nested_values() {
        for (pattern, place, expected) in [
            ("/user_id", "/user_id", true),
            ("/session", "/session/user", true),
            ("/session/user", "/session", false),
            ("/items/*/seller_id", "/items/0/seller_id", true),
            ("/items/*/seller_id", "/items/0/id", false),
        ] {
            let pattern: Pattern = pattern.parse().expect("a pattern");
            let place: Pointer = place.parse().expect("a pointer");
            assert_eq!(leads_to(&pattern, &place), expected, "{pattern:?} {place:?}");
        }
    }
}
