//! Which subjects of a registry are those of a topic.

use crate::Part;

/// Whether one of these subjects is one that serializers use for records of a topic: by default `<topic>-value`, with
/// other strategies the name of the record, alone or behind the topic. `topics` are the names of the topic. Hermes has one
/// of its own, which is a subject as it is.
pub fn belongs(part: Part, topics: [&str; 2], subjects: &[String], is_name: impl Fn(&str) -> bool) -> bool {
    let suffix = match part {
        Part::Key => "-key",
        Part::Value => "-value",
    };
    subjects.iter().map(|subject| without_context(subject)).any(|subject| {
        let of = |topic: &str| {
            subject.strip_prefix(topic).is_some_and(|rest| {
                rest.is_empty() || rest == suffix || rest.strip_prefix('-').is_some_and(&is_name)
            })
        };
        is_name(subject) || topics.into_iter().any(of)
    })
}

/// A subject without the context that Confluent's registry puts before it: `:.eu:events-value`.
fn without_context(subject: &str) -> &str {
    let rest = subject.strip_prefix(":.").and_then(|rest| rest.split_once(':'));
    rest.map_or(subject, |(_, subject)| subject)
}
