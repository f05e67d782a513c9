//! Contradictions between sections: pseudonyms that change under a flow, and values that a flow reads but
//! `[anonymise]` does not forward.
//!
//! Pure.

use connector::{
    anonymise::{AnonymiseSettings, Forward},
    keyring::Keyring,
};
use event::{EventsSettings, Pattern, Pointer, pointer::Step};
use flow::{Flow, matching::Subject};

/// What was read of the sections that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Across<'a> {
    /// `[anonymise]`.
    pub anonymise: &'a AnonymiseSettings,
    /// `[events]`.
    pub events: Option<&'a EventsSettings>,
    /// `[[flows]]`.
    pub flows: &'a [Flow],
}

/// A value that the processor reads, and the key that declares it.
struct Place<'a> {
    key: String,
    pointer: &'a Pointer,
}

impl<'a> Across<'a> {
    /// Keys, with what is wrong there: pseudonyms change with the key in use, so that with several keys the same
    /// person, event or view would no longer be the same.
    pub fn rotation_errors(&self, keyring: &Keyring) -> Vec<(String, String)> {
        if keyring.keys().len() < 2 {
            return Vec::new();
        }
        let hashed =
            |place: &Place<'_>| self.anonymise.pseudonymise.iter().any(|p| leads_to(p, place.pointer));
        let text = |place: Place<'a>| {
            let text = format!(
                "{:?} is pseudonymised and the keyring has {} keys: each key derives another pseudonym, so equal \
                 values would no longer match; use a value that is not pseudonymised, or a keyring with \
                 one key",
                place.pointer.as_str(),
                keyring.keys().len(),
            );
            (place.key, text)
        };
        self.compared().into_iter().filter(hashed).map(text).collect()
    }

    /// Keys of flows whose value never reaches the processor, and what follows.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let kept_back = |place: &Place<'_>| !self.passes(place.pointer);
        let text = |place: Place<'_>| {
            let text = format!(
                "{:?} is not forwarded by [anonymise], so the processor will not find it",
                place.pointer.as_str()
            );
            (place.key, text)
        };
        self.of_flows().into_iter().chain(self.of_matches()).filter(kept_back).map(text).collect()
    }

    /// Places whose values are compared with each other over time.
    fn compared(&self) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        if let Some(events) = self.events {
            places.extend(events.id.iter().map(|id| Place { key: "events.id".to_owned(), pointer: id }));
            for (topic, own) in &events.topics {
                let key = || format!("events.topics.{topic}.id");
                places.extend(own.id.iter().map(|id| Place { key: key(), pointer: id }));
            }
        }
        places.extend(self.of_flows());
        places
    }

    fn of_flows(&self) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        for (n, flow) in self.flows.iter().enumerate() {
            let place = |key: &str, pointer| Place { key: format!("flows[{n}].{key}"), pointer };
            places.extend(flow.by.iter().map(|(column, pointer)| place(&format!("by.{column}"), pointer)));
            if let Some(join) = &flow.join {
                places.push(place("join.on", &join.view));
                places.extend((join.click != join.view).then(|| place("join.on", &join.click)));
            }
        }
        places
    }

    /// Values by which flows recognise views and clicks.
    fn of_matches(&self) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        for (n, flow) in self.flows.iter().enumerate() {
            for (key, matches) in [("views", &flow.views), ("clicks", &flow.clicks)] {
                places.extend(matches.terms.iter().filter_map(|term| match &term.subject {
                    Subject::At(pointer) => {
                        Some(Place { key: format!("flows[{n}].{key}.\"{}\"", pointer.as_str()), pointer })
                    }
                    Subject::Topic => None,
                }));
            }
        }
        places
    }

    fn passes(&self, pointer: &Pointer) -> bool {
        let forwarded = match &self.anonymise.forward {
            Forward::All => true,
            Forward::List(list) => list.iter().any(|pattern| leads_to(pattern, pointer)),
        };
        forwarded && !self.anonymise.remove.iter().any(|pattern| leads_to(pattern, pointer))
    }
}

/// Whether the pattern leads to the place, or to something that it lies in.
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
    use super::*;

    #[test]
    fn a_pattern_leads_to_what_is_at_or_in_it() {
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
