//! `aqueduct unpack`: turns messages that were pulled from Pub/Sub into one line for each record.
//!
//! See [`pubsub::pack`] for the layout of packs.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use event::wire;
use pubsub::pack::{self, Offsets, Packed, Unpacker};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{global::Global, output::Output};

/// The options of `unpack`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: the events of ten messages
  gcloud pubsub subscriptions pull events-look --limit 10 --format json | aqueduct unpack

Reads messages as JSON from standard input: an array, as gcloud prints it, or one object after the other; each is a message with `data` in base64 and `attributes`, or has such a message as `message`. Writes one line for each record: its event as `data`, and the attributes that a message of its own would have. Messages that are not packs become one line each. Requires no configuration. For each message that cannot be read, writes its number and the reason to standard error, without any content, and exits with 1.";

const BUFFER: usize = 256 << 10;

/// A message as Pub/Sub's REST interface and gcloud have it, alone or in the answer of a pull.
#[derive(Deserialize)]
struct Pulled {
    message: Option<Box<Pulled>>,
    data: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// One record.
#[derive(Serialize)]
struct Line<'a> {
    attributes: BTreeMap<&'a str, String>,
    data: Event<'a>,
}

/// The event; what is not JSON is text.
#[derive(Serialize)]
#[serde(untagged)]
enum Event<'a> {
    Json(&'a RawValue),
    Text(std::borrow::Cow<'a, str>),
}

/// Reads standard input to the end.
///
/// # Errors
/// Standard input is not JSON, or standard input or output fails.
pub(crate) fn run(_: &Args, _: &Global) -> anyhow::Result<ExitCode> {
    let mut output = Output::create(Path::new("-"))?;
    let mut complaints = BufWriter::new(io::stderr());
    let input = BufReader::with_capacity(BUFFER, io::stdin());
    let unread = unpack(input, &mut output, &mut complaints);
    complaints.flush()?;
    let unread = unread?;
    output.finish()?;
    Ok(ExitCode::from(u8::from(unread > 0)))
}

/// Unpacks messages; returns the number of those that cannot be read.
fn unpack(input: impl Read, output: &mut impl Write, complaints: &mut impl Write) -> anyhow::Result<u64> {
    let (mut unpacker, mut number, mut unread) = (Unpacker::default(), 0_u64, 0);
    for value in serde_json::Deserializer::from_reader(input).into_iter::<OneOrMany>() {
        for pulled in
            value.context("standard input is not a JSON message or an array of messages")?.into_vec()
        {
            number += 1;
            if let Err(reason) = one(&pulled, &mut unpacker, output)? {
                unread += 1;
                writeln!(complaints, "message {number}: {reason}")?;
            }
        }
    }
    Ok(unread)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Pulled>),
    One(Pulled),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<Pulled> {
        match self {
            Self::Many(all) => all,
            Self::One(one) => vec![one],
        }
    }
}

/// Writes the records of a message, or returns why it has none.
fn one(
    pulled: &Pulled,
    unpacker: &mut Unpacker,
    output: &mut impl Write,
) -> anyhow::Result<Result<(), &'static str>> {
    let message = pulled.message.as_deref().unwrap_or(pulled);
    let Some(Ok(data)) = message.data.as_ref().map(|data| STANDARD.decode(data)) else {
        return Ok(Err("no data in base64"));
    };
    let mut shared: BTreeMap<&str, String> =
        message.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    match message.attributes.get(wire::FORMAT).map(String::as_str) {
        None | Some(wire::REDRIVEN) => write(shared, &data, output)?,
        Some(pack::FORMAT) => {
            let offsets = message.attributes.get(wire::OFFSETS).and_then(|text| text.parse::<Offsets>().ok());
            let Some(Ok(pack)) = offsets.map(|offsets| unpacker.unpack(&offsets, &data)) else {
                return Ok(Err("a damaged pack"));
            };
            shared.remove(wire::FORMAT);
            shared.remove(wire::OFFSETS);
            for record in pack.records() {
                write(with_own(shared.clone(), &record), record.event, output)?;
            }
        }
        Some(_) => return Ok(Err("an unknown aqueduct.format; a newer version wrote it")),
    }
    Ok(Ok(()))
}

/// The attributes of a record's own message.
fn with_own<'a>(mut attributes: BTreeMap<&'a str, String>, record: &Packed<'a>) -> BTreeMap<&'a str, String> {
    let mut part = |name| attributes.get(name).cloned().unwrap_or_default();
    let [topic, incarnation, partition] = [wire::TOPIC, wire::INCARNATION, wire::PARTITION].map(&mut part);
    let offset = record.offset;
    attributes.insert(wire::ID, format!("{topic}/{incarnation}/{partition}/{offset}"));
    attributes.insert(wire::OFFSET, offset.to_string());
    attributes.extend(record.timestamp.map(|timestamp| (wire::TIMESTAMP, timestamp.to_string())));
    attributes.extend(record.key.map(|key| (wire::KEY, key.to_owned())));
    attributes.extend(record.key_id.map(|id| (wire::KEY_ID, id.to_owned())));
    attributes.extend(record.headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    attributes
}

fn write(attributes: BTreeMap<&str, String>, event: &[u8], output: &mut impl Write) -> anyhow::Result<()> {
    let json = str::from_utf8(event).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let data = json.map_or_else(|| Event::Text(String::from_utf8_lossy(event)), Event::Json);
    let mut line = serde_json::to_vec(&Line { attributes, data })?;
    // Between two tokens of the event. Within a string there is none.
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    output.write_all(&line).context("cannot write standard output")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pubsub::pack::{Compressor, PackBuilder};
    use serde_json::{Value, json};

    use super::*;

    fn lines(input: &str) -> (Vec<Value>, u64) {
        let (mut output, mut complaints) = (Vec::new(), Vec::new());
        let unread = unpack(input.as_bytes(), &mut output, &mut complaints).expect("JSON");
        assert_eq!(complaints.split(|byte| *byte == b'\n').count() as u64 - 1, unread);
        let text = String::from_utf8(output).expect("UTF-8");
        (text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), unread)
    }

    fn packed() -> Value {
        let (mut builder, name) = (PackBuilder::default(), Arc::from("trace"));
        let none = || std::iter::empty();
        builder.push(7, Some(1_700), (Some("key"), Some(&Arc::from("k1"))), none(), b"{\"n\":\r\n1.50}");
        builder.push(9, None, (None, None), [(&name, "t")].into_iter(), br#"{"n":2}"#);
        let mut compressor = Compressor::default();
        let (offsets, data) = builder.finish(&mut compressor);
        json!({"data": STANDARD.encode(data), "attributes": {
            "kafka.topic": "events", "kafka.partition": "3", "aqueduct.incarnation": "i",
            "aqueduct.format": "pack-1", "aqueduct.offsets": offsets.to_string(),
        }})
    }

    #[test]
    fn records_have_the_attributes_of_single_messages() {
        let single = json!({"message": {
            "data": STANDARD.encode(r#"{"n":0}"#), "attributes": {"kafka.offset": "5"}, "messageId": "1",
        }});
        let (found, unread) = lines(&json!([single, {"message": packed()}]).to_string());
        let expected = [
            json!({"attributes": {"kafka.offset": "5"}, "data": {"n": 0}}),
            json!({"data": {"n": 1.50}, "attributes": {
                "kafka.topic": "events", "kafka.partition": "3", "aqueduct.incarnation": "i", "kafka.offset": "7",
                "aqueduct.id": "events/i/3/7", "kafka.timestamp": "1700", "kafka.key": "key", "aqueduct.key": "k1",
            }}),
            json!({"data": {"n": 2}, "attributes": {
                "kafka.topic": "events", "kafka.partition": "3", "aqueduct.incarnation": "i", "kafka.offset": "9",
                "aqueduct.id": "events/i/3/9", "trace": "t",
            }}),
        ];
        assert_eq!((found, unread), (expected.to_vec(), 0));
    }

    #[test]
    fn messages_that_cannot_be_read_are_counted() {
        let mut damaged = packed();
        damaged["attributes"]["aqueduct.offsets"] = "7,1".into();
        let mut newer = packed();
        newer["attributes"]["aqueduct.format"] = "pack-9".into();
        let input = format!("{damaged}\n{newer}\n{}\n{}", json!({"data": "%"}), packed());
        let (found, unread) = lines(&input);
        assert_eq!((found.len(), unread), (2, 3));
        assert!(unpack(&b"{\"data\":"[..], &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
