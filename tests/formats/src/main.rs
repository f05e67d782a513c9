//! `transcode`: decodes what another library wrote, for the scripts of this folder, which compare.
//!
//! Each line of standard input is a schema with values in hexadecimal, or a container file; each line of output has the
//! JSON of the values, in order, and the reject of one that has none.

use std::{
    fs::File,
    io::{self, BufRead, Write},
    path::PathBuf,
};

use anyhow::{Context, Result, anyhow};
use codec::{Format, Indexes, Payload, Schema, SchemaText, avro};
use serde::{Deserialize, Serialize};

/// What to decode.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Work {
    File { file: PathBuf },
    Values { schema: String, references: Vec<String>, values: Vec<String> },
}

/// The JSON of a value, or its reject: a code and a byte.
#[derive(Serialize)]
#[serde(untagged)]
enum Decoded {
    Json(String),
    Reject { reject: &'static str, at: Option<usize> },
}

fn main() -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let decoded = match serde_json::from_str(&line?)? {
            Work::File { file } => of_file(&file).with_context(|| format!("{}", file.display()))?,
            Work::Values { schema, references, values } => {
                let references = references.into_iter().map(|text| (String::new(), text)).collect();
                let text = SchemaText { format: Format::Avro, text: schema, references, subjects: None };
                let schema = avro::compile(&text).with_context(|| text.text)?;
                values.iter().map(|value| decode(&*schema, value)).collect::<Result<_>>()?
            }
        };
        serde_json::to_writer(&mut out, &decoded)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn decode(schema: &dyn Schema, value: &str) -> Result<Decoded> {
    let bytes = bytes(value).ok_or_else(|| anyhow!("not hexadecimal"))?;
    let mut json = Vec::new();
    Ok(match schema.decode(Payload { bytes: &bytes, indexes: Indexes::None }, &mut json) {
        Ok(()) => Decoded::Json(String::from_utf8(json)?),
        Err(reject) => Decoded::Reject { reject: reject.code.as_str(), at: reject.at },
    })
}

fn of_file(file: &PathBuf) -> Result<Vec<Decoded>> {
    let mut reader = avro::container::Reader::new(File::open(file)?)?;
    let mut decoded = Vec::new();
    while let Some(json) = reader.next_event()? {
        decoded.push(Decoded::Json(String::from_utf8(json.to_vec())?));
    }
    Ok(decoded)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
        .collect()
}
