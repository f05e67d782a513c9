//! `make bench-anonymise`: what taking the people out of an event costs on one core, beside the floor of only parsing it.
//!
//! Each figure is for all events of [`EVENTS`], made by the program's own generator; the items a second beside it are
//! events. Not here: Kafka and Pub/Sub (`make bench-pipe`).
#![forbid(unsafe_code)]

use std::{hint::black_box, num::NonZeroU64, sync::Arc};

use aqueduct::traffic::{Shape, Traffic};
use connector::{
    anonymise::{AnonymiseSettings, Anonymiser, Raw},
    keyring::Keyring,
};
use divan::{Bencher, counter::ItemsCount};
use event::{
    EventTime,
    json::{Error, Scanner, Token},
};
use serde::de::IgnoredAny;

/// Too many for a processor to learn them by heart, and their bytes for its nearest cache.
const EVENTS: usize = 20_000;
const SEED: u64 = 1;

/// As a shop has it.
const SHOP: &str = r#"
pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
"#;
/// As little as there is: one id.
const ONE_ID: &str = "pseudonymise = [\"/user_id\"]\nforward = \"all\"";
/// What the flows need, and nothing else.
const LIST: &str = r#"
pseudonymise = ["/user_id"]
strip_query = ["/page"]
forward = ["/event_id", "/time", "/type", "/page", "/box", "/user_id"]
"#;
/// Everything that is checked, and nothing that is changed.
const NO_RULE: &str = "forward = \"all\"";

fn main() {
    divan::main();
}

/// The floor: the strict reader alone.
#[divan::bench]
fn a_only_parsed(bencher: Bencher<'_, '_>) {
    let events = events();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for event in &events {
            parse(event).expect("the generator writes sound events");
        }
    });
}

/// The same by serde_json, which checks less: neither names nor surrogates nor what it skips.
#[divan::bench]
fn b_only_parsed_by_serde_json(bencher: Bencher<'_, '_>) {
    let events = events();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for event in &events {
            black_box(serde_json::from_slice::<IgnoredAny>(event).expect("sound"));
        }
    });
}

/// What the anonymiser does without: a tree of every event.
#[divan::bench]
fn c_parsed_into_a_tree(bencher: Bencher<'_, '_>) {
    let events = events();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for event in &events {
            black_box(serde_json::from_slice::<serde_json::Value>(event).expect("sound"));
        }
    });
}

/// A pseudonym an event, and nothing else.
#[divan::bench]
fn d_only_hashed(bencher: Bencher<'_, '_>) {
    let keyring = keyring();
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("u-{n}")).collect();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for id in &ids {
            black_box(keyring.keys()[0].pseudonym(id));
        }
    });
}

#[divan::bench(args = [("no rule", NO_RULE), ("one id", ONE_ID), ("a shop", SHOP), ("a list", LIST)].map(Rules))]
fn e_anonymised(bencher: Bencher<'_, '_>, rules: &Rules) {
    let events = events();
    let settings: AnonymiseSettings = toml::from_str(rules.0.1).expect("settings");
    let mut anonymiser = Anonymiser::new(&settings, None, Some(Arc::new(keyring()))).expect("rules");
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for event in &events {
            let raw = Raw { topic: "events", value: Some(event), key: None, headers: &[] };
            black_box(anonymiser.anonymise(&raw).expect("it passes"));
        }
    });
}

/// Rules with a name.
struct Rules((&'static str, &'static str));

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.0)
    }
}

fn events() -> Vec<Vec<u8>> {
    let shape = Shape { rate: NonZeroU64::new(1_000).expect("not 0"), ..Shape::default() };
    let mut traffic = Traffic::new(shape, SEED);
    let mut next = || {
        let mut event = Vec::new();
        traffic.next(&mut event);
        event
    };
    (0..EVENTS).map(|_| next()).collect()
}

fn keyring() -> Keyring {
    let folder = tempfile::tempdir().expect("a folder");
    Keyring::create(&folder.path().join("keys.toml"), EventTime(0)).expect("a keyring")
}

fn parse(event: &[u8]) -> Result<(), Error> {
    let mut scanner = Scanner::object(event)?;
    members(&mut scanner)?;
    scanner.finish()
}

fn members(scanner: &mut Scanner<'_>) -> Result<(), Error> {
    while let Some(member) = scanner.next_member()? {
        black_box(member);
        value(scanner)?;
    }
    Ok(())
}

fn value(scanner: &mut Scanner<'_>) -> Result<(), Error> {
    match scanner.value()? {
        Token::Object => members(scanner),
        Token::Array => {
            while scanner.next_element()? {
                value(scanner)?;
            }
            Ok(())
        }
        token => {
            black_box(token);
            Ok(())
        }
    }
}
