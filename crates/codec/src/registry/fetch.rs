//! The requests that lead from an ID to a schema with everything that it refers to.

use std::{collections::BTreeSet, vec};

use crate::{Format, SchemaId, SchemaText};

use super::{
    RegistryError, Version,
    answer::{self, ContextId, Reference, SchemaReply, SubjectVersion},
    http::{Failure, Got, Http},
};

/// Schemas that one schema may refer to, directly and by others.
const MAX_REFERENCES: usize = 500;
/// Bytes of a schema with everything that it refers to.
const MAX_TEXT: usize = 16 << 20;

/// Versions that were deleted can still be read: records outlive them.
const DELETED: &str = "deleted=true";

/// What the registry has for an ID.
pub(crate) enum Fetched {
    Schema(SchemaText),
    /// It is too large, has too many references, or a format that is not known here.
    Unusable(String),
    Unknown,
}

impl Http {
    /// The schema with an ID.
    pub(crate) async fn schema(&self, id: &SchemaId) -> Result<Fetched, Failure> {
        let got = match id {
            SchemaId::Id(id) => self.get::<SchemaReply>(&["schemas", "ids", &id.to_string()], "").await?,
            SchemaId::Guid(guid) => self.get(&["schemas", "guids", &answer::guid_text(guid)], "").await?,
            SchemaId::Version(subject, version) => self.version(subject, i64::from(*version)).await?,
        };
        let reply = match got {
            Got::Found(reply) if answer::is_of(&reply, id) => reply,
            Got::Found(_) => return Err(another()),
            Got::Unknown => return Ok(Fetched::Unknown),
            Got::TooLarge => return Ok(too_large()),
        };
        let subjects = match id {
            SchemaId::Id(id) => self.subjects_of(*id).await?,
            SchemaId::Guid(guid) => self.subjects_of_guid(guid).await?,
            SchemaId::Version(subject, _) => Some(vec![subject.to_string()]),
        };
        self.with_references(reply, subjects).await
    }

    /// All subjects.
    pub(crate) async fn subjects(&self) -> Result<Vec<String>, Failure> {
        match self.get(&["subjects"], "").await? {
            Got::Found(subjects) => Ok(subjects),
            Got::Unknown => Ok(Vec::new()),
            Got::TooLarge => Err(Failure::retry("the list of subjects is too large".to_owned())),
        }
    }

    /// The ID of a schema that is registered for a subject; `None` if the registry does not accept it.
    pub(crate) async fn register(
        &self,
        subject: &str,
        format: Format,
        text: &str,
    ) -> Result<Option<u32>, Failure> {
        let body = serde_json::json!({ "schemaType": answer::name(format), "schema": text });
        match self.post::<ContextId>(&["subjects", subject, "versions"], body.to_string()).await? {
            Got::Found(registered) => Ok(Some(registered.id)),
            Got::Unknown => Ok(None),
            Got::TooLarge => Err(Failure::retry("the answer is too large".to_owned())),
        }
    }

    /// Every version of a subject that is not deleted; `None` if there is no such subject.
    pub(crate) async fn versions(&self, subject: &str) -> Result<Option<Vec<Version>>, Failure> {
        let versions: Vec<u32> = match self.get(&["subjects", subject, "versions"], "").await? {
            Got::Found(versions) => versions,
            Got::Unknown => return Ok(None),
            Got::TooLarge => return Err(Failure::retry("the list of versions is too large".to_owned())),
        };
        let mut found = Vec::with_capacity(versions.len());
        for version in versions {
            let reply = match self.version(subject, version.into()).await? {
                Got::Found(reply) if answer::is_version(&reply, subject, version.into()) => reply,
                Got::Found(_) => return Err(another()),
                // It was deleted since.
                Got::Unknown => continue,
                Got::TooLarge => {
                    found.push(Version { version, id: None, schema: Err("it is too large".to_owned()) });
                    continue;
                }
            };
            let id = reply.id.and_then(|id| u32::try_from(id).ok());
            let schema = match self.with_references(reply, Some(vec![subject.to_owned()])).await? {
                Fetched::Schema(text) => Ok(text),
                Fetched::Unusable(problem) => Err(problem),
                Fetched::Unknown => Err("it refers to a schema that is not in the registry".to_owned()),
            };
            found.push(Version { version, id, schema });
        }
        Ok(Some(found))
    }

    async fn version(&self, subject: &str, version: i64) -> Result<Got<SchemaReply>, Failure> {
        self.get(&["subjects", subject, "versions", &version.to_string()], DELETED).await
    }

    /// The subjects of an ID; `None` if the registry does not list them.
    async fn subjects_of(&self, id: u32) -> Result<Option<Vec<String>>, Failure> {
        match self
            .get::<Vec<SubjectVersion>>(&["schemas", "ids", &id.to_string(), "versions"], DELETED)
            .await?
        {
            Got::Found(versions) if versions.is_empty() => Ok(None),
            Got::Found(versions) => Ok(Some(versions.into_iter().map(|version| version.subject).collect())),
            Got::Unknown | Got::TooLarge => Ok(None),
        }
    }

    async fn subjects_of_guid(&self, guid: &[u8; 16]) -> Result<Option<Vec<String>>, Failure> {
        let path = ["schemas", "guids", &answer::guid_text(guid), "ids"];
        match self.get::<Vec<ContextId>>(&path, "").await? {
            // In several contexts, the number of one is another schema's in the next.
            Got::Found(ids) if ids.len() == 1 => self.subjects_of(ids[0].id).await,
            Got::Found(_) | Got::Unknown | Got::TooLarge => Ok(None),
        }
    }

    /// The schema with the texts that it refers to, those that others need first. A name is followed once, as
    /// Confluent's clients do it, so that a circle of references ends.
    async fn with_references(
        &self,
        reply: SchemaReply,
        subjects: Option<Vec<String>>,
    ) -> Result<Fetched, Failure> {
        let Some(format) = answer::format(&reply) else {
            return Ok(Fetched::Unusable("its type is not AVRO, PROTOBUF or JSON".to_owned()));
        };
        let mut bytes = reply.schema.len();
        let mut seen = BTreeSet::new();
        let mut references = Vec::new();
        let mut open = vec![Open::new(String::new(), reply)];
        while let Some(last) = open.last_mut() {
            let Some(reference) = last.left.next() else {
                let done = open.pop().map(|done| (done.name, done.text));
                match done {
                    Some((_, text)) if open.is_empty() => {
                        return Ok(Fetched::Schema(SchemaText { format, text, references, subjects }));
                    }
                    done => references.extend(done),
                }
                continue;
            };
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            let reply = match self.version(&reference.subject, reference.version).await? {
                Got::Found(reply) if answer::is_version(&reply, &reference.subject, reference.version) => {
                    reply
                }
                Got::Found(_) => return Err(another()),
                Got::Unknown => return Ok(Fetched::Unknown),
                Got::TooLarge => return Ok(too_large()),
            };
            bytes += reply.schema.len();
            if seen.len() > MAX_REFERENCES || bytes > MAX_TEXT {
                return Ok(too_large());
            }
            open.push(Open::new(reference.name, reply));
        }
        Ok(Fetched::Unknown)
    }
}

/// A schema whose references are being fetched.
struct Open {
    name: String,
    text: String,
    left: vec::IntoIter<Reference>,
}

impl Open {
    fn new(name: String, reply: SchemaReply) -> Self {
        Self { name, text: reply.schema, left: reply.references.unwrap_or_default().into_iter() }
    }
}

fn another() -> Failure {
    Failure::retry("the answer is about another schema".to_owned())
}

fn too_large() -> Fetched {
    Fetched::Unusable("it is too large, or refers to too many others".to_owned())
}

impl Failure {
    /// The error of a command that does not wait.
    pub(crate) fn into_error(self, url: &str) -> RegistryError {
        match self {
            Self::Fatal(error) => error,
            Self::Retry { problem, .. } => RegistryError::Unavailable { url: url.to_owned(), problem },
        }
    }
}
