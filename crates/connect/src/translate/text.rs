//! A draft as the text of a file, with its notes as comments.

use std::fmt::Write as _;

use super::{Draft, given};
use crate::define::Config;

/// The file.
pub(super) fn text(connector: &Config, draft: &Draft) -> String {
    let name = given(connector, "name").unwrap_or("the connector");
    let mut out =
        format!("# The connector {} as a configuration of `aqueduct connector`.\n#\n", one_line(name));
    out.push_str(
        "# Stop the connector before you start this: both use one consumer group, and this one continues at its offsets.\n\
         # `aqueduct setup` creates the topic for marks, <topic>-marks. With marks the processor knows which offsets have\n\
         # no event and why, counts every event once after any restart, and knows when a window is complete. Connect\n\
         # has nothing like them: to a subscriber a lost message looks like one that never existed.\n",
    );
    if !draft.notes.is_empty() {
        out.push_str("#\n# What differs, or is left to do:\n");
        for note in &draft.notes {
            wrap(&mut out, note);
        }
    }
    let sections = [
        ("kafka", &draft.kafka),
        ("kafka.properties", &draft.properties),
        ("kafka.format", &draft.format),
        ("schema_registry", &draft.registry),
        ("pubsub", &draft.pubsub),
        ("anonymise", &draft.anonymise),
    ];
    for (name, entries) in sections.into_iter().filter(|(_, entries)| !entries.is_empty()) {
        let _ = writeln!(out, "\n[{name}]");
        for (key, value) in entries {
            let key = toml::Value::String(key.clone());
            let plain =
                key.as_str().is_some_and(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            let key = if plain { key.as_str().unwrap_or_default().to_owned() } else { key.to_string() };
            let _ = writeln!(out, "{key} = {value}");
        }
    }
    out.push_str(
        "\n# For the processor: where an event has its time, what is counted, and where rows go.\n\
         # [events]\n# time = \"/time\"\n#\n\
         # [[flows]]\n# name = \"events\"\n# by = { page = \"/page\" }\n# measures = { events = { count = {} } }\n# window = { size = \"1m\" }\n#\n\
         # [writer]\n# kind = \"sqlite\"\n# path = \"aqueduct.db\"\n",
    );
    out
}

/// A text that ends no comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A note as a comment, in lines of readable length.
fn wrap(out: &mut String, note: &str) {
    let mut line = String::from("# -");
    for word in one_line(note).split_whitespace() {
        if line.len() + word.len() > 116 && line.len() > 4 {
            let _ = writeln!(out, "{line}");
            line = "#  ".to_owned();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{line}");
}
