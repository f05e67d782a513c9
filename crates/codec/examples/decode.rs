//! Decodes records for `tests/formats`, which compares the results with those of other implementations.
//!
//! A line of input is a schema with records, a line of output the results, or why the schema is not usable.

use std::io::{BufRead as _, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use codec::{Format, Indexes, Payload, Schema, SchemaError, SchemaText, protobuf};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Work {
    text: String,
    #[serde(default)]
    references: Vec<(String, String)>,
    records: Vec<Record>,
}

/// Bytes in base64.
#[derive(Deserialize)]
struct Record {
    payload: String,
    /// The message indexes of Protobuf, where they are in the header.
    header: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The text, so that the other side sees how numbers are written.
    Json(String),
    Reject(&'static str),
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Records(Vec<Outcome>),
    Error(String),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let work: Work = serde_json::from_str(&line?)?;
        let answer = match compile(&work) {
            Ok(schema) => Answer::Records(
                work.records
                    .iter()
                    .map(|record| decode(schema.as_ref(), record))
                    .collect::<Result<_, _>>()?,
            ),
            Err(error) => Answer::Error(error.to_string()),
        };
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn compile(work: &Work) -> Result<std::sync::Arc<dyn Schema>, SchemaError> {
    let (text, references) = (work.text.clone(), work.references.clone());
    protobuf::compile(&SchemaText { format: Format::Protobuf, text, references, subjects: None }, None)
}

fn decode(schema: &dyn Schema, record: &Record) -> Result<Outcome, Box<dyn std::error::Error>> {
    let bytes = STANDARD.decode(&record.payload)?;
    let header = record.header.as_ref().map(|header| STANDARD.decode(header)).transpose()?;
    let indexes = header.as_deref().map_or(Indexes::InPayload, Indexes::InHeader);
    let mut out = Vec::new();
    Ok(match schema.decode(Payload { bytes: &bytes, indexes }, &mut out) {
        Ok(()) => Outcome::Json(String::from_utf8(out)?),
        Err(reject) => Outcome::Reject(reject.code.as_str()),
    })
}
