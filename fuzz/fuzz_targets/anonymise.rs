//! Any bytes through the anonymiser, under one of several declarations: it never panics, and what passes is checked
//! against a second reading of input and output by serde_json.
//!
//! The first byte chooses the declaration, the rest is the record's value.
#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

#[path = "../../crates/connector/src/anonymise/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod anonymise;
#[path = "../../crates/connector/src/keyring/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod keyring;
#[path = "../../crates/connector/src/outgoing/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod outgoing;
mod rules;

use anonymise::{Anonymiser, Raw};
use rules::{Declared, expect, json};

const DECLARED: [Declared; 4] = [
    Declared { tagged: &[], pseudonymise: &["/u", "/s/u", "/i/*/u"], remove: &["/r"], strip_query: &["/p"], forward: None },
    Declared {
        tagged: &[],
        pseudonymise: &["/u", "/i/0"],
        remove: &["/s/r", "/i/2"],
        strip_query: &["/s/p"],
        forward: Some(&["/u", "/s", "/i", "/k/*/v"]),
    },
    Declared { tagged: &[], pseudonymise: &["/*/u"], remove: &["/*/r"], strip_query: &[], forward: None },
    Declared { tagged: &[], pseudonymise: &[], remove: &[], strip_query: &["/p"], forward: Some(&["/p", "/s/k"]) },
];

static RULES: LazyLock<Vec<Mutex<Anonymiser>>> = LazyLock::new(|| {
    DECLARED.iter().map(|declared| Mutex::new(declared.anonymiser())).collect()
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((&choice, payload)) = input.split_first() else { return Corpus::Reject };
    let number = usize::from(choice) % DECLARED.len();
    let raw = Raw { topic: "t", value: Some(payload), key: None, headers: &[] };
    let mut rules = RULES[number].lock().expect("no thread panicked");
    let passed = match rules.anonymise(&raw) {
        Ok(passed) => passed,
        Err(reject) => {
            // Its text consists of codes, declared pointers and numbers alone.
            assert!(reject.to_string().is_ascii() && reject.to_string().len() < 80);
            return Corpus::Keep;
        }
    };
    if payload.windows(11).any(|part| part == b"$serde_json") {
        // A name by which serde_json marks numbers of its own.
        return Corpus::Reject;
    }
    let before = json(payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload));
    let after = json(passed.data());
    let expected = expect(&DECLARED[number], &before, &mut Vec::new()).unwrap_or(Value::Null);
    assert_eq!(after, expected);
    Corpus::Keep
});
