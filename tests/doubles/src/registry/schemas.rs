//! Subjects, versions, IDs and GUIDs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A schema as a producer registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `AVRO`, `PROTOBUF`, `JSON`, or anything else.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
}

/// A version of another subject that a schema refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name by which it is referred to.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: u32,
}

/// Everything that was registered. IDs begin with 1, and so do the versions of each subject.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    schemas: Vec<Schema>,
    /// The IDs of each subject's versions.
    subjects: BTreeMap<String, Vec<u32>>,
}

impl Schema {
    /// A schema without references.
    pub fn new(kind: &str, text: &str) -> Self {
        Self { kind: kind.to_owned(), text: text.to_owned(), references: Vec::new() }
    }

    /// The same with one more reference.
    #[must_use]
    pub fn with_reference(mut self, name: &str, subject: &str, version: u32) -> Self {
        self.references.push(Reference { name: name.to_owned(), subject: subject.to_owned(), version });
        self
    }
}

impl Schemas {
    /// Registers a schema, and returns its ID. The same schema has the same ID in every subject.
    pub(super) fn register(&mut self, subject: &str, schema: Schema) -> u32 {
        let place = self.schemas.iter().position(|other| *other == schema).unwrap_or(self.schemas.len());
        if place == self.schemas.len() {
            self.schemas.push(schema);
        }
        let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }

    /// The version of a subject that is this schema.
    pub(super) fn find(&self, subject: &str, schema: &Schema) -> Option<Value> {
        let ids = self.subjects.get(subject)?;
        let place = ids.iter().position(|id| self.schema(*id) == Some(schema))?;
        self.by_version(subject, &(place + 1).to_string())
    }

    pub(super) fn by_id(&self, id: u32) -> Option<Value> {
        let schema = self.schema(id)?;
        let mut answer = json!({"schema": schema.text, "guid": guid_text(guid(id))});
        // As Confluent's registry does it, which omits what is the default.
        if schema.kind != "AVRO" {
            answer["schemaType"] = json!(schema.kind);
        }
        if !schema.references.is_empty() {
            let references = schema.references.iter();
            answer["references"] = references
                .map(|to| json!({"name": to.name, "subject": to.subject, "version": to.version}))
                .collect();
        }
        Some(answer)
    }

    pub(super) fn by_version(&self, subject: &str, version: &str) -> Option<Value> {
        let versions = self.subjects.get(subject)?;
        let version = match version {
            "latest" | "-1" => versions.len(),
            number => number.parse().ok()?,
        };
        let id = *versions.get(version.checked_sub(1)?)?;
        let mut answer = self.by_id(id)?;
        answer["subject"] = json!(subject);
        answer["version"] = json!(version);
        answer["id"] = json!(id);
        Some(answer)
    }

    /// The versions that have an ID.
    pub(super) fn versions_of(&self, id: u32) -> Option<Value> {
        self.schema(id)?;
        let versions = self.subjects.iter().filter_map(|(subject, ids)| {
            let place = ids.iter().position(|other| *other == id)?;
            Some(json!({"subject": subject, "version": place + 1}))
        });
        Some(versions.collect())
    }

    pub(super) fn subjects(&self) -> Value {
        self.subjects.keys().cloned().collect()
    }

    pub(super) fn versions(&self, subject: &str) -> Option<Value> {
        Some((1..=self.subjects.get(subject)?.len()).collect())
    }

    pub(super) fn id_of(&self, text: &str) -> Option<u32> {
        (1..=u32::try_from(self.schemas.len()).ok()?).find(|id| guid_text(guid(*id)) == text)
    }

    fn schema(&self, id: u32) -> Option<&Schema> {
        self.schemas.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }
}

/// The GUID of an ID. Real ones are hashes.
pub(super) fn guid(id: u32) -> [u8; 16] {
    let mut guid = [0xA5; 16];
    guid[12..].copy_from_slice(&id.to_be_bytes());
    guid
}

fn guid_text(guid: [u8; 16]) -> String {
    let hex: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
