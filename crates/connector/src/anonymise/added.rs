//! Fields that a new version of a schema adds, and that pass because everything does.
//!
//! The first schema of a topic that a process reads is not news. With a list in `forward`, a field that is not in the list
//! is dropped, so that nothing needs to be noticed.

use std::{fmt, sync::Arc};

use codec::Schema;
use event::Pattern;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{AnonymiseSettings, Forward, settings::covers};

/// Patterns and tags of fields that do not pass as they are.
type Protected = (Vec<Pattern>, Vec<Arc<str>>);

/// The fields of each topic so far.
#[derive(Clone, Default)]
pub(super) struct Added {
    /// `None` if `forward` is a list.
    protected: Option<Arc<Protected>>,
    topics: FxHashMap<Arc<str>, Topic>,
}

#[derive(Clone, Default)]
struct Topic {
    fields: FxHashSet<Pattern>,
    /// By address, which is not used again while they are kept here. The last one is that of the last record.
    schemas: Vec<Arc<dyn Schema>>,
}

impl Added {
    pub(super) fn new(settings: &AnonymiseSettings) -> Self {
        let protected = matches!(settings.forward, Forward::All).then(|| {
            let patterns = settings.pseudonymise.patterns.iter().chain(&settings.remove).cloned();
            Arc::new((patterns.collect(), settings.pseudonymise.tags.clone()))
        });
        Self { protected, topics: FxHashMap::default() }
    }

    /// How many fields of this schema pass and were in no schema of the topic before. A schema is asked about once.
    pub(super) fn by(&mut self, topic: &Arc<str>, schema: &Arc<dyn Schema>) -> usize {
        let Some(protected) = &self.protected else { return 0 };
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), Topic::default());
        }
        let Some(known) = self.topics.get_mut(topic) else { return 0 };
        match known.schemas.iter().rposition(|seen| Arc::ptr_eq(seen, schema)) {
            Some(place) => {
                let last = known.schemas.len() - 1;
                known.schemas.swap(place, last);
                return 0;
            }
            None => known.schemas.push(schema.clone()),
        }
        let is_first = known.schemas.len() == 1;
        let (patterns, tags) = &**protected;
        let mut added = 0;
        for field in schema.fields() {
            let is_protected = patterns.iter().any(|pattern| covers(pattern, &field.pattern))
                || field.tags.iter().any(|tag| tags.contains(tag));
            added += usize::from(known.fields.insert(field.pattern.clone()) && !is_protected);
        }
        if is_first { 0 } else { added }
    }
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Added").field("topics", &self.topics.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{schema, settings},
        *,
    };

    /// How many fields each schema adds, in this order.
    fn check(section: &str, schemas: &[&[(&str, &[&str])]], expected: &[usize]) {
        let mut added = Added::new(&settings(section));
        let schemas: Vec<_> = schemas.iter().map(|fields| schema(fields)).collect();
        let counts: Vec<usize> = schemas.iter().map(|schema| added.by(&"events".into(), schema)).collect();
        assert_eq!(counts, expected);
        assert!(schemas.iter().all(|schema| added.by(&"events".into(), schema) == 0), "once each");
        assert_eq!(added.by(&"others".into(), schemas.last().expect("some")), 0, "the first of its topic");
    }

    #[test]
    fn a_later_schema_adds_what_is_not_protected() {
        let first: &[(&str, &[&str])] = &[("/a", &[]), ("/b", &[])];
        let second: &[(&str, &[&str])] =
            &[("/a", &[]), ("/c", &[]), ("/d", &["PII"]), ("/e/x", &[]), ("/f", &[])];
        let section = "forward = 'all'\npseudonymise = ['tag:PII', '/f']\nremove = ['/e']";
        check(section, &[first, second, first], &[0, 1, 0]);
        check("forward = 'all'", &[first, second], &[0, 4]);
        check("forward = ['/a']", &[first, second], &[0, 0]);
    }
}
