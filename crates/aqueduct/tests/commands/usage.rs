//! The command line.

use crate::support::Place;

pub(crate) const COMMANDS: [&str; 21] = [
    "demo",
    "connector",
    "connect",
    "processor",
    "replay",
    "test",
    "anonymise",
    "check",
    "setup",
    "keys",
    "keys new",
    "keys rotate",
    "keys list",
    "dead-letters",
    "dead-letters list",
    "dead-letters redrive",
    "generate",
    "status",
    "reconcile",
    "completions",
    "man",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    let place = Place::new();
    for command in COMMANDS {
        let run = place.run(&format!("{command} --help"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{command}");
        for part in ["Usage: aqueduct", "Example", "  aqueduct ", "--config <FILE>", "--log-format"] {
            assert!(run.out.contains(part), "{command}: no {part:?} in\n{}", run.out);
        }
    }
}

#[test]
fn version_and_commands_are_printed() {
    let place = Place::new();
    assert_eq!(place.run("--version").out, format!("aqueduct {}\n", env!("CARGO_PKG_VERSION")));
    let help = place.run("--help");
    assert_eq!(help.code, Some(0));
    for command in COMMANDS.iter().filter(|command| !command.contains(' ')) {
        assert!(help.out.contains(&format!("\n  {command} ")), "{}", help.out);
    }
}

#[test]
fn invalid_usage_is_exit_code_2() {
    let place = Place::new();
    for (words, expected) in [
        ("", "Usage: aqueduct"),
        ("generat", "unrecognized subcommand 'generat'"),
        ("generate --bogus", "unexpected argument '--bogus'"),
        ("generate --rate 0", "invalid value '0' for '--rate <N>'"),
        ("generate --late 200%", "--late"),
        ("generate --duration ten --output -", "--duration"),
        ("generate --start yesterday --output -", "--start"),
        ("generate --output events.ndjson", "--events"),
        ("generate --output - --topic events", "cannot be used with"),
        ("keys", "Usage: aqueduct keys"),
        ("keys rotate", "--at <TIME>"),
        ("check --log-format xml", "invalid value 'xml'"),
    ] {
        let run = place.run(words);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{words}: {}", run.err);
        assert!(run.err.contains(expected), "{words}: no {expected:?} in\n{}", run.err);
    }
}

#[test]
fn every_shell_has_completions() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = place.run(&format!("completions {shell}"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{shell}");
        assert!(run.out.contains("reconcile"), "{shell}: {}", run.out);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    assert_eq!(place.run("man pages").code, Some(0));
    for command in COMMANDS {
        let name = format!("pages/aqueduct-{}.1", command.replace(' ', "-"));
        assert!(String::from_utf8_lossy(&place.read(&name)).contains(".TH"), "{name}");
    }
}
