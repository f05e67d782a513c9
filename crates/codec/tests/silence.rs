//! Nothing of a schema reaches a log, whatever the libraries that parse it want to report.
#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use codec::{Format, SchemaText, avro};
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_schema_is_parsed_in_silence() {
    let lines = Lines::default();
    let writer = lines.clone();
    // Everything, and from the crate `log` as well: the bridge is part of `init`.
    tracing_subscriber::registry().with(fmt::layer().with_writer(move || writer.clone())).init();
    tracing::info!("the log works");
    let schema = r#"{"type":"record","name":"Secret","doc":"secret","fields":[
        {"name":"secret","type":{"type":"string","logicalType":"date"},"logicalType":"secret"},
        {"name":"amount","type":{"type":"fixed","name":"SecretFixed","size":3,"logicalType":"duration"},"default":"secret"},
        {"name":"one","type":["SecretFixed"]}]}"#;
    for text in [schema, &schema.replace("SecretFixed\"]", "SecretOther\"]")] {
        let text = SchemaText {
            format: Format::Avro,
            text: text.to_owned(),
            references: Vec::new(),
            subjects: None,
        };
        drop(avro::compile(&text));
    }
    let lines = String::from_utf8(lines.0.lock().expect("no writer panics").clone()).expect("lines are text");
    assert!(lines.contains("the log works"));
    assert!(!lines.to_lowercase().contains("secret"), "{lines}");
}
