//! `transcode`: decodes records that other libraries wrote, for the scripts of this folder, which compare the results.
//!
//! Each line of input is a schema with records, or an Avro container file. Each line of output has the results in order,
//! or why the schema or the file is not usable.

use std::{
    fs::File,
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use codec::{Format, Indexes, Payload, Schema, SchemaText, avro};
use serde::{Deserialize, Serialize};

/// What to decode.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Work {
    File(PathBuf),
    Avro(Records),
    Protobuf(Records),
}

#[derive(Deserialize)]
struct Records {
    schema: String,
    /// Names and texts.
    references: Vec<(String, String)>,
    records: Vec<Record>,
}

/// Bytes in base64.
#[derive(Deserialize)]
struct Record {
    payload: String,
    /// The message indexes of Protobuf if they are in a header.
    header: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Records(Vec<Outcome>),
    Error(String),
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// As text, because the scripts also compare how numbers are written.
    Json(String),
    Reject(&'static str),
}

fn main() -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Work::File(path) => of_file(&path).with_context(|| format!("{}", path.display())),
            Work::Avro(work) => work.decode(Format::Avro),
            Work::Protobuf(work) => work.decode(Format::Protobuf),
        };
        let answer = answer.map_or_else(|error| Answer::Error(format!("{error:#}")), Answer::Records);
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

impl Records {
    fn decode(self, format: Format) -> Result<Vec<Outcome>> {
        let text = SchemaText { format, text: self.schema, references: self.references, subjects: None };
        let schema = text.compile(None)?;
        self.records.iter().map(|record| record.decode(&*schema, format)).collect()
    }
}

impl Record {
    fn decode(&self, schema: &dyn Schema, format: Format) -> Result<Outcome> {
        let bytes = STANDARD.decode(&self.payload)?;
        let header = self.header.as_ref().map(|header| STANDARD.decode(header)).transpose()?;
        let indexes = match (&header, format) {
            (Some(header), _) => Indexes::InHeader(header),
            (None, Format::Protobuf) => Indexes::InPayload,
            (None, _) => Indexes::None,
        };
        let mut json = Vec::new();
        Ok(match schema.decode(Payload { bytes: &bytes, indexes }, &mut json) {
            Ok(()) => Outcome::Json(String::from_utf8(json)?),
            Err(reject) => Outcome::Reject(reject.code.as_str()),
        })
    }
}

fn of_file(path: &Path) -> Result<Vec<Outcome>> {
    let mut reader = avro::container::Reader::new(File::open(path)?)?;
    let mut records = Vec::new();
    while let Some(event) = reader.next_event()? {
        records.push(match event {
            Ok(json) => Outcome::Json(String::from_utf8(json.to_vec())?),
            Err(reject) => Outcome::Reject(reject.code.as_str()),
        });
    }
    Ok(records)
}
