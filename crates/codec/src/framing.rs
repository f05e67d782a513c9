//! Where a record has the ID of its schema: Confluent's prefix and headers, and Hermes's headers.
//!
//! | framing | where | bytes |
//! |---|---|---|
//! | Confluent, prefix | before the payload | `00` and the ID (4 bytes), or `01` and the GUID (16 bytes) |
//! | Confluent, header | `__value_schema_id`, `__key_schema_id` | the same, and for Protobuf the message indexes behind it |
//! | Hermes | `sid` | the ID (4 bytes) |
//! | Hermes | `sv` | the version of the topic's subject (4 bytes) |
//!
//! All numbers are big-endian. A header is preferred to a prefix, as Confluent's deserializers do it by default: a
//! payload whose ID is in a header has no prefix, although it can begin with the same byte.

use std::sync::Arc;

use crate::{
    Indexes, Part, Payload, SchemaId,
    reject::{Reject, RejectCode},
};

/// Marks an ID of 4 bytes.
const ID: u8 = 0;
/// Marks a GUID of 16 bytes.
const GUID: u8 = 1;

/// A payload and the schema that it was written with.
pub struct Framed<'a> {
    /// The ID of the schema.
    pub id: SchemaId,
    /// The bytes without it.
    pub payload: Payload<'a>,
}

/// Confluent's framing of one part of a record.
///
/// # Errors
/// [`RejectCode::NoSchemaId`].
pub fn confluent<'a>(
    part: Part,
    bytes: &'a [u8],
    headers: &[(&str, &'a [u8])],
) -> Result<Framed<'a>, Reject> {
    let name = match part {
        Part::Key => "__key_schema_id",
        Part::Value => "__value_schema_id",
    };
    match header(headers, name) {
        Some(value) => {
            let (id, indexes) = split(value).ok_or(missing(part))?;
            Ok(Framed { id, payload: Payload { bytes, indexes: Indexes::InHeader(indexes) } })
        }
        None => {
            let (id, bytes) = split(bytes).ok_or(missing(part))?;
            Ok(Framed { id, payload: Payload { bytes, indexes: Indexes::InPayload } })
        }
    }
}

/// Hermes's framing: the payload has no prefix, and headers name the schema of the value. There are none for the key.
/// `subject` is the one that a version refers to.
pub(crate) fn hermes<'a>(
    part: Part,
    bytes: &'a [u8],
    headers: &[(&str, &'a [u8])],
    subject: &Arc<str>,
) -> Result<Framed<'a>, Reject> {
    if part == Part::Key {
        return Err(missing(part));
    }
    let id = match (header(headers, "sid"), header(headers, "sv")) {
        (Some(id), _) => number(id).map(SchemaId::Id),
        (None, Some(version)) => number(version).map(|version| SchemaId::Version(subject.clone(), version)),
        (None, None) => None,
    };
    let id = id.ok_or(missing(part))?;
    Ok(Framed { id, payload: Payload { bytes, indexes: Indexes::None } })
}

/// The ID at the beginning, and the bytes after it.
fn split(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    match bytes.split_first()? {
        (&ID, rest) => {
            rest.split_first_chunk().map(|(id, rest)| (SchemaId::Id(u32::from_be_bytes(*id)), rest))
        }
        (&GUID, rest) => rest.split_first_chunk().map(|(guid, rest)| (SchemaId::Guid(*guid), rest)),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The first header with this name. Confluent's Java deserializer takes the last one and its Python deserializer the
/// first; no serializer writes two.
fn header<'a>(headers: &[(&str, &'a [u8])], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

fn missing(part: Part) -> Reject {
    Reject { code: RejectCode::NoSchemaId, part, at: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const G: [u8; 16] = [0xAB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// The ID, the payload, and the indexes in a header; `None` where there is no ID.
    type Expected<'a> = Option<(SchemaId, &'a [u8], Option<&'a [u8]>)>;

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better without references")]
    fn check(bytes: &[u8], headers: &[(&str, &[u8])], expected: Expected<'_>) {
        let found = confluent(Part::Value, bytes, headers);
        let found = found.as_ref().ok().map(|framed| {
            let indexes = match framed.payload.indexes {
                Indexes::InHeader(indexes) => Some(indexes),
                Indexes::InPayload | Indexes::None => None,
            };
            (framed.id.clone(), framed.payload.bytes, indexes)
        });
        assert_eq!(found, expected);
    }

    fn guid(rest: &[u8]) -> Vec<u8> {
        [&[1], &G[..], rest].concat()
    }

    #[test]
    fn a_prefix_has_an_id_or_a_guid() {
        check(&[0, 0, 0, 1, 2, 9, 8], &[], Some((SchemaId::Id(258), &[9, 8], None)));
        check(&[0, 255, 255, 255, 255], &[], Some((SchemaId::Id(u32::MAX), &[], None)));
        check(&guid(&[7]), &[], Some((SchemaId::Guid(G), &[7], None)));
    }

    #[test]
    fn a_header_is_preferred_and_leaves_the_payload_whole() {
        let payload: &[u8] = &[0, 0, 0, 0, 9, 1];
        check(payload, &[("__value_schema_id", &guid(&[]))], Some((SchemaId::Guid(G), payload, Some(&[]))));
        let indexes: &[u8] = &[4, 2, 0];
        check(
            payload,
            &[("__value_schema_id", &guid(indexes))],
            Some((SchemaId::Guid(G), payload, Some(indexes))),
        );
        check(
            payload,
            &[("__value_schema_id", &[0, 0, 0, 0, 5])],
            Some((SchemaId::Id(5), payload, Some(&[]))),
        );
        check(payload, &[("__key_schema_id", &guid(&[]))], Some((SchemaId::Id(9), &[1], None)));
    }

    #[test]
    fn anything_else_has_no_id() {
        for bytes in [&[][..], &[0], &[0, 1, 2, 3], &[2, 0, 0, 0, 1], b"{}", &guid(&[])[..16]] {
            check(bytes, &[], None);
            // A broken header is a reject, even if the payload begins like a prefix.
            check(&[0, 0, 0, 0, 1], &[("__value_schema_id", bytes)], None);
        }
    }

    #[test]
    fn keys_have_a_header_of_their_own() {
        let headers: &[(&str, &[u8])] =
            &[("__value_schema_id", &guid(&[])), ("__key_schema_id", &[0, 0, 0, 0, 4])];
        assert_eq!(confluent(Part::Key, b"k", headers).ok().map(|framed| framed.id), Some(SchemaId::Id(4)));
        let reject = confluent(Part::Key, b"k", &headers[..1]).err();
        assert_eq!(reject, Some(missing(Part::Key)));
    }

    #[test]
    fn hermes_prefers_the_id_to_the_version() {
        let subject: Arc<str> = "shop.events".into();
        let of = |headers: &[(&str, &[u8])]| {
            hermes(Part::Value, &[0, 7], headers, &subject).ok().map(|framed| {
                assert_eq!(framed.payload.bytes, [0, 7]);
                framed.id
            })
        };
        let (version, id): (&[u8], &[u8]) = (&[0, 0, 0, 3], &[0, 0, 1, 0]);
        assert_eq!(of(&[("sv", version), ("sid", id)]), Some(SchemaId::Id(256)));
        assert_eq!(of(&[("sv", version)]), Some(SchemaId::Version(subject.clone(), 3)));
        assert_eq!(of(&[("sv", &[3])]), None);
        assert_eq!(of(&[("sid", b"256"), ("sv", version)]), None);
        assert_eq!(of(&[]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(0_u8..4, 0..24), header in prop::collection::vec(0_u8..4, 0..24)) {
            for headers in [&[][..], &[("__value_schema_id", &header[..]), ("sv", &header[..])]] {
                let _ = confluent(Part::Value, &bytes, headers);
                let _ = hermes(Part::Value, &bytes, headers, &"s".into());
            }
        }
    }
}
