//! The rules of events whose schema tags fields: those of the configuration, and a pseudonym for each tagged field.
//!
//! They are compiled once for each schema. A schema is known by its address, which is not used again while it is kept
//! here; schemas never change.

use std::{fmt, sync::Arc};

use codec::Schema;
use event::{Pattern, Pointer, pointer::Step};
use rustc_hash::FxHashMap;

use super::{AnonymiseSettings, RejectCode, rules::Rules, settings::TAG};

/// Rules by schema and topic.
#[derive(Clone)]
pub(super) struct Tagged {
    /// `None` if the configuration names no tag.
    settings: Option<Arc<AnonymiseSettings>>,
    time: Option<Pointer>,
    /// The topics whose events have their time at another pointer.
    topics: Vec<(Box<str>, Pointer)>,
    known: FxHashMap<(usize, Option<usize>), Known>,
}

/// The rules of one schema: `None` if it tags nothing that the configuration names.
#[derive(Clone)]
struct Known {
    rules: Option<Result<Rules, RejectCode>>,
    /// Keeps its address.
    _schema: Arc<dyn Schema>,
}

impl Tagged {
    pub(super) fn new(
        settings: &AnonymiseSettings,
        time: Option<Pointer>,
        topics: Vec<(Box<str>, Pointer)>,
    ) -> Self {
        let has_tags = !settings.pseudonymise.tags.is_empty();
        let settings = has_tags.then(|| Arc::new(settings.clone()));
        Self { settings, time, topics, known: FxHashMap::default() }
    }

    /// The rules for events of this schema, and of a topic with a time of its own; `None` if they are those of events
    /// without a schema, an error if the tags contradict the configuration.
    pub(super) fn rules(
        &mut self,
        schema: &Arc<dyn Schema>,
        topic: Option<usize>,
    ) -> Option<Result<&mut Rules, RejectCode>> {
        let settings = self.settings.as_ref()?;
        let address = Arc::as_ptr(schema).cast::<()>() as usize;
        let known = self.known.entry((address, topic)).or_insert_with(|| {
            let time = topic.map_or(self.time.as_ref(), |topic| Some(&self.topics[topic].1));
            let tagged = tagged(&**schema, &settings.pseudonymise.tags);
            let compile = || Rules::with_tagged(settings, time, &tagged).map_err(|_| RejectCode::TagConflict);
            Known { rules: (!tagged.is_empty()).then(compile), _schema: Arc::clone(schema) }
        });
        known.rules.as_mut().map(|rules| rules.as_mut().map_err(|code| *code))
    }
}

/// The outermost fields with one of these tags, each with the name of the tag.
fn tagged(schema: &dyn Schema, tags: &[Arc<str>]) -> Vec<(Pattern, Arc<str>)> {
    let label = |tag: &Arc<str>| Arc::from(format!("{TAG}{tag}"));
    let found: Vec<(Pattern, Arc<str>)> = schema
        .fields()
        .iter()
        .filter_map(|field| {
            let tag = tags.iter().find(|tag| field.tags.contains(tag))?;
            Some((field.pattern.clone(), label(tag)))
        })
        .collect();
    let is_inside_another = |inner: &Pattern| {
        found.iter().any(|(outer, _)| {
            outer.steps().len() < inner.steps().len() && is_prefix(outer.steps(), inner.steps())
        })
    };
    // A union of a scalar and a record has tags at both. The record is then an unexpected shape.
    found.iter().filter(|(pattern, _)| !is_inside_another(pattern)).cloned().collect()
}

fn is_prefix(outer: &[Step], inner: &[Step]) -> bool {
    outer.iter().zip(inner).all(|(a, b)| a == b)
}

impl fmt::Debug for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tagged").field("schemas", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use codec::Schema;

    use super::super::{
        Anonymiser, Raw, RejectCode,
        tests::{anonymiser, pseudonym, schema},
    };

    fn check(
        rules: &mut Anonymiser,
        schema: &Arc<dyn Schema>,
        event: &str,
        expected: Result<&str, RejectCode>,
    ) {
        let raw = Raw { topic: "events", value: Some(event.as_bytes()), key: None, headers: &[] };
        let found = rules.anonymise_decoded(&raw, Some(schema));
        let found = found
            .map(|event| String::from_utf8_lossy(event.expect("there is no filter").data()).into_owned());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(reject), Err(code)) => {
                assert_eq!(reject.code, code);
                let shown = reject.pointer.as_deref().unwrap_or_default();
                assert!(!shown.contains("secret"), "{shown} names a field of the schema");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn each_schema_has_its_own_tags() {
        let mut rules = anonymiser("pseudonymise = ['tag:PII', '/user']\nforward = 'all'");
        let (old, new) = (
            schema(&[("/user", &[]), ("/mail", &[])]),
            schema(&[("/mail", &["X", "PII"]), ("/list/*", &["PII"])]),
        );
        let (user, mail) = (pseudonym("u1"), pseudonym("m1"));
        check(
            &mut rules,
            &old,
            r#"{"user":"u1","mail":"m1"}"#,
            Ok(&format!(r#"{{"user":"{user}","mail":"m1"}}"#)),
        );
        for _ in 0..2 {
            let event = r#"{"user":"u1","mail":"m1","list":["m1",null]}"#;
            let expected = format!(r#"{{"user":"{user}","mail":"{mail}","list":["{mail}",null]}}"#);
            check(&mut rules, &new, event, Ok(&expected));
        }
    }

    #[test]
    fn tags_fail_closed_and_name_no_field() {
        let mut rules =
            anonymiser("pseudonymise = ['tag:PII']\nstrip_query = ['/secret_url']\nforward = 'all'");
        let tagged = schema(&[("/secret", &["PII"]), ("/secret/inner", &["PII"]), ("/secret_url", &["PII"])]);
        check(&mut rules, &tagged, r#"{"secret":{"inner":"a"}}"#, Err(RejectCode::UnexpectedShape));
        let url = pseudonym("http://a/?q");
        check(
            &mut rules,
            &tagged,
            r#"{"secret_url":"http://a/?q"}"#,
            Ok(&format!(r#"{{"secret_url":"{url}"}}"#)),
        );
        let mut rules = anonymiser("pseudonymise = ['tag:PII', '/secret/inner']\nforward = 'all'");
        check(&mut rules, &tagged, "{}", Err(RejectCode::TagConflict));
    }

    #[test]
    fn what_is_not_forwarded_stays_dropped() {
        let mut rules = anonymiser("pseudonymise = ['tag:PII']\nforward = ['/a']");
        let tagged = schema(&[("/a", &[]), ("/mail", &["PII"])]);
        check(&mut rules, &tagged, r#"{"a":1,"mail":"m"}"#, Ok(r#"{"a":1}"#));
    }
}
