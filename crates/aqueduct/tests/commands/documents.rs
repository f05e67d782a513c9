//! Documents with tables that are generated from the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use service::{described, metrics::Described, process, readiness};

/// The text after it is generated.
const MADE: &str = "<!-- From here on it is made from the code:";
const COMMAND: &str = "UPDATE_DOCS=1 cargo test -p aqueduct --test commands documents";

fn sections() -> Vec<(&'static str, Vec<Described>)> {
    vec![
        ("Every process", [&process::ALL[..], &[readiness::READY]].concat()),
        ("Connector", connector::metrics::ALL.to_vec()),
        ("Connector: what librdkafka counts", kafka::metrics::ALL.to_vec()),
        ("Connect worker", connect::task::ALL.to_vec()),
        ("Schema registry", codec::registry::metrics::ALL.to_vec()),
        ("Processor", processor::metrics::ALL.to_vec()),
    ]
}

#[test]
fn every_reject_code_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rejects.md");
    let text = fs::read_to_string(&path).expect("docs/rejects.md");
    let of_processor = ["time-range", "future", "no-timestamp", "refused-by-pubsub"];
    let codes = connector::anonymise::RejectCode::ALL
        .iter()
        .map(|code| code.as_str())
        .chain(codec::RejectCode::ALL.iter().map(|code| code.as_str()))
        .chain(of_processor);
    for code in codes {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| `{code}` |"))).count();
        assert_eq!(rows, 1, "{code} in docs/rejects.md");
    }
}

#[test]
fn every_metric_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let before = fs::read_to_string(&path).expect("docs/metrics.md");
    let prose = before.split(MADE).next().expect("a first part");
    let tables: String = sections()
        .iter()
        .map(|(title, metrics)| format!("\n## {title}\n\n{}", described::table(metrics)))
        .collect();
    let made = format!("{prose}{MADE} {COMMAND} -->\n{tables}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, made).expect("docs/metrics.md can be written");
        return;
    }
    assert!(before == made, "docs/metrics.md differs from the code; regenerate it: {COMMAND}");
}

#[test]
fn metric_names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in sections().into_iter().flat_map(|(_, metrics)| metrics) {
        let Described { name, kind, unit, help, .. } = metric;
        assert!(names.insert(name), "{name} is duplicated");
        assert!(name.starts_with("aqueduct_") || name.starts_with("process_"), "{name}");
        let is_counter = kind == service::metrics::Kind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}: counters, and only they, end in _total");
        let stem = name.trim_end_matches("_total");
        assert_eq!(stem.ends_with("_bytes"), unit == "bytes", "{name} in {unit}");
        assert_eq!(stem.ends_with("_seconds"), unit.starts_with("seconds"), "{name} in {unit}");
        assert!(!help.contains('|') && !help.ends_with('.'), "{name}: {help}");
    }
}

/// Every call of `warn!` and `error!` in a text, up to its closing bracket.
fn warnings(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for name in ["warn!(", "error!("] {
        for (start, _) in text.match_indices(name) {
            let mut depth = 0_i32;
            let end = text[start..].find(|c: char| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                c == ')' && depth == 0
            });
            found.push(end.map_or(&text[start..], |end| &text[start..start + end]));
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_warning_and_error_has_an_action() {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the crates") {
        sources(&entry.expect("an entry").path().join("src"), &mut files);
    }
    let mut calls = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for call in warnings(&text) {
            calls += 1;
            assert!(call.contains("action ="), "{}: no `action` in {call}", file.display());
        }
    }
    assert!(calls > 30, "{calls} calls were found");
}
