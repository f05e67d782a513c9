//! What `engines/beam` does not do with a configuration that is valid. It reports the same when it is started.
//!
//! Pure.

use flow::TimeKind;
use writer::{WriterConfig, WriterMode};

use super::sections::Sections;

/// The keys that it refuses, with the reason.
pub(super) fn refused(sections: &Sections, has_several_writers: bool) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    for (number, flow) in sections.flows.iter().enumerate() {
        if flow.time != TimeKind::Event {
            let text = "requires times that files do not have: not available with --files";
            refused.push((format!("flows[{number}].time"), text.to_owned()));
        }
    }
    for (number, writer) in sections.writers.iter().enumerate() {
        let section = if has_several_writers { format!("writers[{number}]") } else { "writer".to_owned() };
        let mut refuse = |key: &str, text: &str| refused.push((format!("{section}.{key}"), text.to_owned()));
        match &writer.config {
            WriterConfig::Sqlite(_) => {
                refuse("kind", "SQLite files are not written; use --output=rows.ndjson, or another kind");
            }
            WriterConfig::BigQuery(bigquery) => {
                if bigquery.mode == WriterMode::Append {
                    refuse(
                        "mode",
                        "BigQuery is written only with mode = \"upsert\", where repeated rows change nothing",
                    );
                }
                if bigquery.emulator.is_some() {
                    refuse(
                        "rest_endpoint",
                        "has no effect; an emulator is given by the option --bigQueryEndpoint",
                    );
                }
            }
            WriterConfig::PubSub(_) => {}
        }
    }
    refused
}
