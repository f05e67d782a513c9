//! What `engines/beam` does not do with a configuration that is valid. It reports the same when it is started.
//!
//! Pure.

use flow::{TimeKind, window::WindowKind};
use writer::{WriterConfig, WriterMode};

use super::sections::Sections;
use crate::config::NamedWriter;

/// The keys that it refuses, with the reason.
pub(super) fn refused(sections: &Sections, has_several_writers: bool) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    let is_bigquery = |writer: &NamedWriter| matches!(writer.config, WriterConfig::BigQuery(_));
    let has_bigquery = sections.writers.iter().any(is_bigquery);
    for (number, flow) in sections.flows.iter().enumerate() {
        let mut refuse =
            |key: &str, text: &str| refused.push((format!("flows[{number}].{key}"), text.to_owned()));
        if flow.time != TimeKind::Event {
            refuse("time", "not available with --files, which have no such times");
        }
        if sections.flows.iter().any(|other| other.time != flow.time) {
            refuse("time", "not available over a stream together with flows of another kind of time");
        }
        if has_bigquery && matches!(flow.windows, WindowKind::Sessions { .. }) {
            let text =
                "sessions of a stream do not go to BigQuery, as rows of merged sessions are not deleted";
            refuse("window", text);
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
