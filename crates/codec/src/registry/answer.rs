//! What an answer of the registry means. Pure.
//!
//! Only an answer of the registry itself can mean that a schema does not exist, because records are rejected for it. An
//! answer of anything in between (a proxy's page, a load balancer without servers) is an outage, and is retried.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{Format, SchemaId};

/// The longest pause that an answer may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An HTTP answer, read to its end or to the limit of a body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The header `Retry-After`, if it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// The body; `None` if it is larger than any schema may be.
    pub(crate) body: Option<Vec<u8>>,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement<T> {
    /// The answer to the question.
    Found(T),
    /// The registry has nothing like that.
    Unknown,
    /// The answer is too large to be used.
    TooLarge,
    /// The credentials are not accepted.
    Refused,
    /// This is not an answer of a registry that works. Ask again, after at least this time.
    Retry { after: Duration, problem: String },
}

/// A schema as the registry sends it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SchemaReply {
    pub(crate) schema: String,
    /// Avro if it is missing.
    #[serde(default, rename = "schemaType")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) references: Option<Vec<Reference>>,
    #[serde(default)]
    pub(crate) id: Option<i64>,
    #[serde(default)]
    guid: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    version: Option<i64>,
}

/// A schema that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reference {
    /// The name by which it is referred to.
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) version: i64,
}

/// A version of a subject, as the registry lists those of an ID.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SubjectVersion {
    pub(crate) subject: String,
}

/// An ID, as the registry lists those of a GUID, and as it answers a registration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ContextId {
    pub(crate) id: u32,
}

#[derive(Deserialize)]
struct Problem {
    error_code: i64,
}

/// Judges an answer whose body shall be a `T`.
pub(crate) fn judge<T: DeserializeOwned>(reply: &Reply) -> Judgement<T> {
    let after = reply.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
    let retry = |problem: String| Judgement::Retry { after, problem };
    let body = reply.body.as_deref();
    match reply.status {
        200 => match body.map(serde_json::from_slice) {
            Some(Ok(found)) => Judgement::Found(found),
            Some(Err(_)) => retry("the answer is not that of a schema registry".to_owned()),
            None => Judgement::TooLarge,
        },
        401 | 403 => Judgement::Refused,
        404 if body.is_some_and(is_page) => {
            retry("status 404 with a page that is not of a schema registry".to_owned())
        }
        404 => Judgement::Unknown,
        // A registry refuses questions that make no sense to it, such as an ID beyond its range, with a code of its own.
        400 | 405..=407 | 409..=428 | 430..=499 if body.is_some_and(has_code) => Judgement::Unknown,
        status => retry(format!("status {status}")),
    }
}

/// Whether a schema is the requested one, as far as the answer identifies it.
pub(crate) fn is_of(reply: &SchemaReply, id: &SchemaId) -> bool {
    match id {
        SchemaId::Id(id) => reply.id.is_none_or(|found| found == i64::from(*id)),
        SchemaId::Guid(guid) => {
            reply.guid.as_ref().is_none_or(|found| found.eq_ignore_ascii_case(&guid_text(guid)))
        }
        SchemaId::Version(subject, version) => is_version(reply, subject, i64::from(*version)),
    }
}

/// Whether a schema is this version of this subject, as far as the answer identifies it. A version below 1 means
/// the newest.
pub(crate) fn is_version(reply: &SchemaReply, subject: &str, version: i64) -> bool {
    (version < 1 || reply.version.is_none_or(|found| found == version))
        && reply.subject.as_ref().is_none_or(|found| found == subject)
}

/// The format of a schema; `None` if it is not known here.
pub(crate) fn format(reply: &SchemaReply) -> Option<Format> {
    match reply.kind.as_deref() {
        None | Some("AVRO") => Some(Format::Avro),
        Some("PROTOBUF") => Some(Format::Protobuf),
        Some("JSON") => Some(Format::JsonSchema),
        Some(_) => None,
    }
}

/// The name of a format.
pub(crate) fn name(format: Format) -> &'static str {
    match format {
        Format::Avro => "AVRO",
        Format::Protobuf => "PROTOBUF",
        Format::JsonSchema => "JSON",
    }
}

/// A GUID as the registry writes it.
pub(crate) fn guid_text(guid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in guid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
    }
    text
}

fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

fn has_code(body: &[u8]) -> bool {
    serde_json::from_slice::<Problem>(body).is_ok_and(|problem| problem.error_code >= 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\n<!doctype html><p>Not found</p>";
    const NOT_FOUND: &str = r#"{"error_code":40403,"message":"Schema 9 not found"}"#;

    fn judged(status: u16, body: &str) -> Judgement<SchemaReply> {
        judge(&Reply { status, retry_after: None, body: Some(body.into()) })
    }

    #[test]
    fn a_schema_is_found() {
        let found = |body: &str| match judged(200, body) {
            Judgement::Found(reply) => reply,
            other => panic!("{other:?}"),
        };
        let avro = found(r#"{"schema":"\"string\""}"#);
        assert_eq!((format(&avro), avro.schema.as_str()), (Some(Format::Avro), "\"string\""));
        let body = r#"{"schema":"s","schemaType":"PROTOBUF","references":[{"name":"a.proto","subject":"a","version":2}],"more":1}"#;
        let protobuf = found(body);
        assert_eq!(format(&protobuf), Some(Format::Protobuf));
        assert_eq!(protobuf.references.map(|references| references.len()), Some(1));
        assert_eq!(format(&found(r#"{"schema":"s","schemaType":"XML"}"#)), None);
    }

    #[test]
    fn only_the_registry_says_that_a_schema_is_unknown() {
        for (status, body) in [(404, NOT_FOUND), (404, ""), (422, r#"{"error_code":42202,"message":""}"#)] {
            assert_eq!(judged(status, body), Judgement::Unknown, "{status} {body}");
        }
        for (status, body) in [(404, PAGE), (422, PAGE), (400, ""), (400, "{}")] {
            assert!(matches!(judged(status, body), Judgement::Retry { .. }), "{status} {body}");
        }
    }

    #[test]
    fn credentials_are_refused_whatever_the_body() {
        for status in [401, 403] {
            for body in ["", PAGE, NOT_FOUND] {
                assert_eq!(judged(status, body), Judgement::Refused);
            }
        }
    }

    #[test]
    fn anything_else_is_waited_for() {
        for status in [204, 301, 304, 408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(judged(status, NOT_FOUND), Judgement::Retry { .. }), "{status}");
        }
        for body in ["", PAGE, "{}", "[]", r#"{"schema":1}"#, r#"{"schema":"a"#] {
            assert!(matches!(judged(200, body), Judgement::Retry { .. }), "{body}");
        }
    }

    #[test]
    fn a_pause_is_kept_but_bounded() {
        let of = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            match judge::<SchemaReply>(&Reply { status: 429, retry_after, body: Some(Vec::new()) }) {
                Judgement::Retry { after, .. } => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((of(7), of(86_400)), (Duration::from_secs(7), LONGEST_PAUSE));
    }

    #[test]
    fn a_body_without_end_is_too_large() {
        let reply = |status| Reply { status, retry_after: None, body: None };
        assert_eq!(judge::<SchemaReply>(&reply(200)), Judgement::TooLarge);
        assert!(matches!(judge::<SchemaReply>(&reply(500)), Judgement::Retry { .. }));
    }

    #[test]
    fn a_schema_of_another_id_is_recognised() {
        let of = |body: &str, id: &SchemaId| is_of(&serde_json::from_str(body).expect("it is a schema"), id);
        assert!(of(r#"{"schema":"s"}"#, &SchemaId::Id(1)));
        assert!(of(r#"{"schema":"s","id":1}"#, &SchemaId::Id(1)));
        assert!(!of(r#"{"schema":"s","id":2}"#, &SchemaId::Id(1)));
        let version = SchemaId::Version("a".into(), 3);
        assert!(of(r#"{"schema":"s","subject":"a","version":3,"id":9}"#, &version));
        assert!(!of(r#"{"schema":"s","subject":"a","version":4}"#, &version));
        assert!(!of(r#"{"schema":"s","subject":"b","version":3}"#, &version));
        let guid = SchemaId::Guid([0xAB; 16]);
        assert!(of(r#"{"schema":"s","guid":"ABABABAB-abab-abab-abab-abababababab"}"#, &guid));
        assert!(!of(r#"{"schema":"s","guid":"00000000-0000-0000-0000-000000000000"}"#, &guid));
    }
}
