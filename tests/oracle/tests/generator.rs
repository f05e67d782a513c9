//! The generator as a program. Because of this test, `cargo test` builds it, so that the comparison with Apache Beam
//! finds it.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

fn lines(arguments: &[&str]) -> Vec<Value> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_oracle")).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The expected panes of some cases, by index.
fn kinds(cases: &[Value]) -> BTreeSet<String> {
    let panes = cases.iter().flat_map(|script| script["cases"].as_array().into_iter().flatten());
    panes
        .flat_map(|case| case["panes"].as_array().into_iter().flatten())
        .map(|pane| pane[4].to_string())
        .collect()
}

#[test]
fn a_seed_gives_the_same_cases() {
    let arguments = ["--seed", "5", "--scripts", "20", "--finals", "20"];
    let cases = lines(&arguments);
    assert_eq!(cases.len(), 40);
    assert_eq!(lines(&arguments), cases);
    assert_eq!(lines(&["--seed", "9", "--scripts", "1"])[0], cases[4]);
    assert_ne!(cases[4]["steps"], cases[5]["steps"]);
}

#[test]
fn all_panes_occur() {
    let all = ["\"EARLY\"", "\"LATE\"", "\"ON_TIME\""].map(str::to_owned);
    assert_eq!(kinds(&lines(&["--scripts", "20"])), BTreeSet::from(all));
}
