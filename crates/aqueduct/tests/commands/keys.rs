//! `keys`: never prints a key, never overwrites one.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::Place;

const IN_A_YEAR_OR_MORE: &str = "2999-01-01T00:00:00Z";

/// The values of all `secret` keys.
fn secrets(keyring: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(keyring).expect("a text file");
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    text.lines().filter(|line| line.trim_start().starts_with("secret")).filter_map(quoted).collect()
}

#[test]
fn a_keyring_is_private_and_never_overwritten() {
    let place = Place::new();
    let made = place.run("keys new");
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
    assert!(made.out.starts_with("created keys.toml with key "), "{}", made.out);
    let mode = place.path("keys.toml").metadata().expect("the keyring").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = place.read("keys.toml");
    let again = place.run("keys new");
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("keys.toml"), "{}", again.err);
    assert!(place.read("keys.toml") == before);
}

#[test]
fn rotation_adds_a_key_without_printing_it() {
    let place = Place::new();
    let runs = [
        place.run("keys new"),
        place.run(&format!("keys rotate --at {IN_A_YEAR_OR_MORE}")),
        place.run("keys list"),
        place.run("keys rotate --at 2020-01-01T00:00:00Z"),
    ];
    assert_eq!(runs.each_ref().map(|run| run.code), [Some(0), Some(0), Some(0), Some(1)]);
    let lines: Vec<_> = runs[2].out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", runs[2].out);
    assert!(lines[1].contains(" always ") && lines[1].ends_with(" in use"), "{}", lines[1]);
    assert!(lines[2].contains("2999-01-01T00:00:00.000Z") && lines[2].ends_with(" planned"), "{}", lines[2]);
    assert!(runs[3].err.contains("2020-01-01T00:00:00.000Z"), "{}", runs[3].err);
    let secrets = secrets(&place.read("keys.toml"));
    assert_eq!(secrets.len(), 2);
    for run in &runs {
        assert!(secrets.iter().all(|secret| !run.out.contains(secret) && !run.err.contains(secret)));
    }
}

#[test]
fn the_keyring_is_found() {
    let place = Place::with("[anonymise]\nforward = \"all\"\nkeyring = \"secret/ring.toml\"\n");
    std::fs::create_dir(place.path("secret")).expect("a folder");
    assert_eq!(place.run("keys new").code, Some(0));
    assert!(place.path("secret/ring.toml").is_file());
    let elsewhere = Place::new();
    let config = place.path("aqueduct.toml").display().to_string();
    assert_eq!(elsewhere.run(&format!("keys list --config {config}")).code, Some(0));
    assert_eq!(elsewhere.run("keys new --keyring other.toml").code, Some(0));
    assert!(elsewhere.path("other.toml").is_file());
    let missing = elsewhere.run("keys list");
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("keys.toml"), "{}", missing.err);
}
