//! Every version of the topics' subjects, from the schema registry.
//!
//! See `schemas` for the comparison with the configuration.

use anyhow::anyhow;
use codec::{
    Schema,
    registry::{RegistryError, Version},
};
use kafka::TopicFormat;
use service::Metrics;
use std::sync::Arc;

use super::{
    Sections,
    connections::{Line, counted, line},
    schemas,
};
use crate::config::{Config, Declared, envelope_of};

const WHAT: &str = "schema registry";

/// One line for each subject, and one for each pointer that some version lacks or has with another type.
pub(super) async fn check(declared: &Declared, config: &Config, sections: &Sections) -> Vec<Line> {
    match ask(declared, config, sections).await {
        Ok(lines) => lines,
        Err(error) => vec![line::<String, _>(WHAT, Err(error))],
    }
}

async fn ask(declared: &Declared, config: &Config, sections: &Sections) -> Result<Vec<Line>, RegistryError> {
    let Some((registry, _)) = declared.open(&Metrics::default())?.registry else { return Ok(Vec::new()) };
    let known = registry.subjects().await?;
    let mut lines = Vec::new();
    for (format, named) in declared.registered() {
        let mut is_any = false;
        for subject in known.iter().filter(|subject| may_be_of(subject, format, &named)) {
            let versions = registry.versions(subject).await?;
            let is_certain = named.contains(subject);
            let found = compare(subject, (format, is_certain), &versions, config, sections);
            is_any |= !found.is_empty();
            lines.extend(found);
        }
        if !is_any {
            let topic = &format.topic;
            lines.push(Line::Warning(format!(
                "{WHAT}: no subject of topic {topic}; expected {}, unless nothing was written yet or its subjects have the name of the record",
                named[0]
            )));
        }
    }
    Ok(lines)
}

/// Whether a subject is named after the topic, or after the topic and a record.
fn may_be_of(subject: &str, format: &TopicFormat, named: &[String; 2]) -> bool {
    named.iter().any(|name| name == subject) || record_of(subject, &format.topic).is_some()
}

/// The name of the record in a subject of the strategy `TopicRecordName`.
fn record_of<'a>(subject: &'a str, topic: &str) -> Option<&'a str> {
    subject.strip_prefix(topic)?.strip_prefix('-')
}

/// The lines about one subject; none if it belongs to another topic whose name begins in the same way.
fn compare(
    subject: &str,
    (format, is_certain): (&TopicFormat, bool),
    versions: &[Version],
    config: &Config,
    sections: &Sections,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut usable: Vec<(u32, Arc<dyn Schema>)> = Vec::new();
    for Version { version, schema, .. } in versions {
        let compiled = schema.clone().and_then(|text| text.compile(None).map_err(|error| error.to_string()));
        match compiled {
            Ok(schema) => usable.push((*version, schema)),
            Err(problem) => lines.push(line::<String, _>(
                WHAT,
                Err(anyhow!("version {version} of subject {subject} cannot be used: {problem}")),
            )),
        }
    }
    let is_named = || {
        record_of(subject, &format.topic)
            .is_some_and(|name| usable.iter().any(|(_, schema)| schema.has_name(name)))
    };
    if !is_certain && !is_named() {
        return Vec::new();
    }
    let fields: Vec<_> = usable
        .iter()
        .map(|(version, schema)| {
            (*version, schemas::unwrapped(schema.fields(), envelope_of(format).as_ref()))
        })
        .collect();
    let fields: Vec<_> = fields.iter().map(|(version, fields)| (*version, fields.as_slice())).collect();
    lines.push(Line::Good(format!("{WHAT}: subject {subject} has {}", counted(versions.len(), "version"))));
    let mut warn = |key: &str, text: String| {
        lines.push(Line::Warning(config.settings().error_at(key, text).to_string()));
    };
    for finding in schemas::findings(&sections.wanted(&format.topic), &fields) {
        warn(&finding.key, finding.of_subject(subject));
    }
    let tags = sections.anonymise.as_ref().map_or(&[][..], |anonymise| &anonymise.pseudonymise.tags);
    for (version, fields) in fields {
        for tag in schemas::absent_tags(tags, fields) {
            warn(
                "anonymise.pseudonymise",
                format!("\"tag:{tag}\" is on no field in version {version} of subject {subject}"),
            );
        }
    }
    lines
}
