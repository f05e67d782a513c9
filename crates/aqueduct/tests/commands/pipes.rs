//! Pipes: a reader may close its end early, and the output is plain text.

use crate::support::Place;

const SHOP: &str = include_str!("../../../../examples/shop/aqueduct.toml");

#[test]
fn a_closed_pipe_ends_a_command_silently() {
    let place = Place::with(SHOP);
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(place.run("generate --events 50000 --rate 50 --output events.ndjson").code, Some(0));
    for (command, lines) in [
        ("aqueduct generate --output -", 2),
        ("aqueduct anonymise < events.ndjson", 2),
        ("aqueduct replay events.ndjson --output -", 2),
        ("aqueduct check --offline", 1),
        ("aqueduct check --sample-file events.ndjson", 1),
        ("aqueduct check --sample-file events.ndjson --format json", 1),
        ("aqueduct completions zsh", 1),
        ("aqueduct --help", 1),
        ("aqueduct replay --help", 1),
        ("aqueduct keys list", 1),
    ] {
        // The exit code of the command itself, not of the last command in the pipe.
        let run = place.shell(&format!("{{ set +e; {command}; echo $? >code; }} | head -n {lines}"));
        assert_eq!((run.code, run.out.lines().count()), (Some(0), lines), "{command}: {}", run.err);
        for word in ["panic", "roken pipe", "standard output was closed", "error:"] {
            assert!(!run.err.contains(word), "{command}: {}", run.err);
        }
        assert_eq!(String::from_utf8_lossy(&place.read("code")).trim(), "0", "{command}: {}", run.err);
    }
}

#[test]
fn pipes_and_files_receive_plain_text() {
    let place = Place::with(SHOP);
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(place.run("generate --events 300 --output events.ndjson").code, Some(0));
    for command in [
        "--help",
        "generat",
        "check --offline",
        "check --config nowhere.toml",
        "check --sample-file events.ndjson",
        "replay events.ndjson --output -",
        "generate --events 1000 --output events.ndjson.gz",
        "keys list",
    ] {
        let run = place.run(command);
        for text in [&run.out, &run.err] {
            assert!(!text.contains(['\u{1b}', '\r']), "{command}: {text:?}");
        }
    }
}

/// Colours on a terminal, unless `NO_COLOR` is set. `script` provides a terminal.
#[test]
fn colours_need_a_terminal() {
    let place = Place::with(SHOP);
    let on_terminal = |variables: &str, command: &str| {
        place.shell(&format!("{variables} TERM=xterm script -qec '{command}' /dev/null || true")).out
    };
    for command in ["aqueduct generat", "aqueduct --help"] {
        assert!(on_terminal("", command).contains('\u{1b}'), "{command}");
        let plain = on_terminal("NO_COLOR=1", command);
        assert!(!plain.contains('\u{1b}'), "{command}: {plain:?}");
        assert!(plain.contains("Usage"), "{command}: {plain:?}");
    }
}
