//! The fields of an event after its envelope was taken off.

use std::sync::Arc;

use event::{Pattern, pointer::Step};

use super::Envelope;
use crate::{Field, Kind};

impl Envelope {
    /// The fields of the event in a value with these fields, with their tags. Where an envelope has several forms, the
    /// fields of each are listed, so that none misses a tag.
    ///
    /// ```
    /// use codec::{Envelope, Field, Kind};
    ///
    /// let field = |at: &str| Field {
    ///     pattern: at.parse().expect("a pattern"),
    ///     kind: Kind::Text,
    ///     optional: true,
    ///     tags: vec!["PII".into()],
    /// };
    /// let envelope = Envelope::Pointer("/payload".parse().expect("a pointer"));
    /// assert_eq!(envelope.fields(&[field("/payload/mail"), field("/other")]), [field("/mail")]);
    /// ```
    pub fn fields(&self, fields: &[Field]) -> Vec<Field> {
        let mut event = Vec::new();
        let mut take = |from: &[&str], to: &str| {
            for field in fields {
                add(&mut event, moved(field, from, to));
            }
        };
        let mut named = Vec::new();
        match self {
            Self::Pointer(pointer) => take(&pointer.names().collect::<Vec<_>>(), ""),
            Self::Hermes => {
                take(&[], "");
                take(&["message"], "");
                take(&["metadata"], "__metadata");
            }
            Self::Debezium => {
                for outer in [&[][..], &["payload"]] {
                    for (inner, to) in
                        [("after", ""), ("before", ""), ("source", "__source"), ("ts_ms", "__ts_ms")]
                    {
                        take(&[outer, &[inner]].concat(), to);
                    }
                }
                named.extend([("/__op", Kind::Text), ("/__deleted", Kind::Text)]);
            }
            Self::CloudEvents => {
                take(&[], "");
                take(&["data"], "");
                for name in ["id", "source", "type", "subject", "time"] {
                    take(&[name], &format!("ce_{name}"));
                }
                named.extend([("/ce_id", Kind::Text), ("/ce_source", Kind::Text), ("/ce_type", Kind::Text)]);
                named.extend([("/ce_subject", Kind::Text), ("/ce_time", Kind::Time)]);
            }
        }
        for (pattern, kind) in named {
            add(&mut event, added(pattern, kind));
        }
        event
    }
}

/// The field, if it is at or inside `from`: at the same place inside the member `to` of the event.
fn moved(field: &Field, from: &[&str], to: &str) -> Option<Field> {
    let (start, rest) = field.pattern.steps().split_at_checked(from.len())?;
    let leads = |(step, name): (&Step, &&str)| match step {
        Step::Any => true,
        Step::Name(step) => **step == **name,
    };
    if !start.iter().zip(from).all(leads) {
        return None;
    }
    let mut text = if to.is_empty() { String::new() } else { format!("/{to}") };
    for step in rest {
        text.push('/');
        match step {
            Step::Any => text.push('*'),
            Step::Name(name) => text.push_str(&name.replace('~', "~0").replace('/', "~1")),
        }
    }
    let pattern: Pattern = text.parse().ok()?;
    Some(Field { pattern, ..field.clone() })
}

/// A field that the envelope adds.
fn added(pattern: &str, kind: Kind) -> Option<Field> {
    Some(Field { pattern: pattern.parse().ok()?, kind, optional: false, tags: Vec::new() })
}

/// Adds a field, or what it has beyond the one at the same place.
fn add(event: &mut Vec<Field>, field: Option<Field>) {
    let Some(field) = field else { return };
    let Some(known) = event.iter_mut().find(|known| known.pattern == field.pattern) else {
        return event.push(field);
    };
    if known.kind != field.kind {
        known.kind = Kind::Several;
    }
    known.optional &= field.optional;
    let new: Vec<Arc<str>> = field.tags.into_iter().filter(|tag| !known.tags.contains(tag)).collect();
    known.tags.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pointers of an event whose value has these fields, with the number of their tags.
    #[track_caller]
    fn check(envelope: &str, fields: &[(&str, &[&str])], expected: &[(&str, usize)]) {
        let field = |(pattern, tags): &(&str, &[&str])| Field {
            pattern: pattern.parse().expect("a pattern"),
            kind: Kind::Text,
            optional: true,
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
        };
        let envelope: Envelope = envelope.parse().expect("an envelope");
        let found = envelope.fields(&fields.iter().map(field).collect::<Vec<_>>());
        for (pattern, tags) in expected {
            let field = found.iter().find(|field| field.pattern.as_str() == *pattern);
            assert_eq!(field.map(|field| field.tags.len()), Some(*tags), "{pattern} in {found:?}");
        }
    }

    #[test]
    fn tags_move_with_their_fields() {
        check("/a/0", &[("/a/*/mail", &["PII"]), ("/mail", &[])], &[("/mail", 1)]);
        check("hermes", &[("/message/mail", &["PII"])], &[("/mail", 1)]);
        check(
            "hermes",
            &[("/mail", &["PII"]), ("/__metadata/*", &[])],
            &[("/mail", 1), ("/__metadata/*", 0)],
        );
        let change: &[(&str, &[&str])] =
            &[("/before/a~1b", &["PII"]), ("/after/a~1b", &["GDPR"]), ("/source/db", &["X"])];
        check("debezium", change, &[("/a~1b", 2), ("/__source/db", 1), ("/__op", 0)]);
        check("debezium", &[("/payload/after/list/*", &["PII"])], &[("/list/*", 1)]);
        check(
            "cloudevents",
            &[("/data/mail", &["PII"]), ("/subject", &["PII"])],
            &[("/mail", 1), ("/ce_subject", 1)],
        );
        check("cloudevents", &[("/mail", &["PII"])], &[("/mail", 1), ("/ce_id", 0)]);
    }
}
