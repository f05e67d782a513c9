//! Schemas from files, without a registry: `.avsc`, `.proto`, `.desc` (compiled Protobuf), `.json` (JSON Schema).

use std::{fs, path::Path, sync::Arc};

use crate::{Format, Schema, SchemaError, SchemaText, protobuf};

/// The schema in a file. `message` is the full name of the Protobuf message that values are.
///
/// # Errors
/// If the file cannot be read, is not a schema of this format, or is one of another.
pub fn load(path: &Path, format: Format, message: Option<&str>) -> Result<Arc<dyn Schema>, SchemaError> {
    let failed = |problem: String| SchemaError(format!("{}: {problem}", path.display()));
    // Avro is JSON, and nearly every JSON is a JSON Schema: only the name distinguishes them.
    if let Some(other) = of_name(path)
        && other != format
    {
        return Err(failed(format!("the name is that of a schema of {other}, but the format is {format}")));
    }
    if message.is_some() && format != Format::Protobuf {
        return Err(failed(format!("`message` is for protobuf only, but the format is {format}")));
    }
    let text = fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    if text.trim_ascii().is_empty() {
        return Err(failed(format!("the file is empty; expected a schema in the format {format}")));
    }
    if format == Format::Protobuf {
        return protobuf::read(path, message);
    }
    let text = String::from_utf8(text).map_err(|_| failed("the file is not UTF-8 text".to_owned()))?;
    let text = SchemaText { format, text, references: Vec::new(), subjects: None };
    text.compile(None).map_err(|error| failed(format!("not a valid schema in the format {format}: {error}")))
}

/// The format that the name of a file implies. `.json` can also be Avro.
fn of_name(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "avsc" => Some(Format::Avro),
        "proto" | "desc" => Some(Format::Protobuf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Indexes, Payload};

    const AVRO: &str =
        r#"{"type": "record", "name": "View", "fields": [{"name": "page", "type": "string"}]}"#;
    const PROTO: &str = "syntax = \"proto3\";\npackage shop;\nimport \"kinds.proto\";\n\
        message View { string page = 1; Kind kind = 2; }\nmessage Click { string page = 1; }\n";
    const KINDS: &str = "syntax = \"proto3\";\npackage shop;\nenum Kind { UNKNOWN = 0; BOX = 1; }\n";

    /// Writes files into a folder, loads the last one, and returns the JSON of a payload or the error.
    fn check(
        files: &[(&str, &str)],
        format: Format,
        message: Option<&str>,
        payload: &[u8],
    ) -> Result<String, SchemaError> {
        let folder = tempfile::tempdir().expect("there is room");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("there is room");
        }
        let (last, _) = files.last().expect("there is one");
        let schema = load(&folder.path().join(last), format, message)?;
        let mut out = Vec::new();
        let payload = Payload { bytes: payload, indexes: Indexes::None };
        schema.decode(payload, &mut out).expect("the payload is right");
        Ok(String::from_utf8(out).expect("JSON is text"))
    }

    #[test]
    fn each_format_has_its_files() {
        for name in ["view.avsc", "view.json"] {
            let found = check(&[(name, AVRO)], Format::Avro, None, b"\x04/a");
            assert_eq!(found.as_deref(), Ok(r#"{"page":"/a"}"#));
        }
        let files = [("kinds.proto", KINDS), ("view.proto", PROTO)];
        let found = check(&files, Format::Protobuf, Some("shop.View"), b"\x0a\x02/a\x10\x01");
        assert_eq!(found.as_deref(), Ok(r#"{"page":"/a","kind":"BOX"}"#));
        let found = check(&[("view.json", r#"{"title": "View"}"#)], Format::JsonSchema, None, br#"{"a":1}"#);
        assert_eq!(found.as_deref(), Ok(r#"{"a":1}"#));
    }

    #[test]
    fn a_file_of_another_format_is_refused() {
        assert!(check(&[("view.avsc", AVRO)], Format::JsonSchema, None, b"").is_err());
        assert!(check(&[("view.proto", PROTO)], Format::Avro, None, b"").is_err());
        assert!(check(&[("view.avsc", PROTO)], Format::Avro, None, b"").is_err());
        assert!(check(&[("view.avsc", AVRO)], Format::Avro, Some("View"), b"").is_err());
        assert!(
            check(&[("view.proto", PROTO)], Format::Protobuf, Some("shop.View"), b"").is_err(),
            "an import is missing"
        );
        assert!(load(Path::new("nowhere.avsc"), Format::Avro, None).is_err());
        // An empty file is a Protobuf schema without messages.
        assert!(check(&[("view.proto", "\n")], Format::Protobuf, None, b"").is_err());
        assert!(check(&[("view.avsc", "")], Format::Avro, None, b"").is_err());
    }
}
