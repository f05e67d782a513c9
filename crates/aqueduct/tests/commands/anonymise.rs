//! `anonymise`: each input line gives an output line or an error; neither contains an ID.

use crate::support::Place;

const CONFIG: &str = r#"
[anonymise]
pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
"#;

fn place() -> Place {
    let place = Place::with(CONFIG);
    assert_eq!(place.run("keys new").code, Some(0));
    place
}

#[test]
fn the_output_has_no_identifiers() {
    let place = place();
    let events = place.run("generate --events 500 --output -").out;
    let run = place.run_with("anonymise", &events);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.out.lines().count(), 500);
    for (raw, line) in events.lines().zip(run.out.lines()) {
        let raw: serde_json::Value = serde_json::from_str(raw).expect("an event");
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let user = raw["session"]["user"].as_str().expect("a user").trim_start_matches("u-");
        assert!(!line.contains(user) && event["ip"].is_null(), "{line}");
        assert_eq!(event["user_id"].as_str().map(str::len), Some(22));
        assert_eq!(event["event_id"], raw["event_id"]);
        assert!(event["page"].as_str().is_some_and(|page| !page.contains(['?', '#'])));
    }
    assert_eq!(place.run_with("anonymise", &events).out, run.out, "the same keyring, the same pseudonyms");
}

#[test]
fn rejects_are_reported_without_content() {
    let place = place();
    let input =
        b"{\"user_id\":1,\"n\":1}\r\n\n{\"user_id\":[\"secret-4711\"]}\n{\"user_id\":\"secret-4711\"\n[1]\n\
        {\"user_id\":\"secret-\xff4711\"}\n{\"user_id\":2,\"n\":2}";
    let run = place.run_with("anonymise", input);
    assert_eq!(run.code, Some(1));
    let numbers: Vec<_> =
        run.out.lines().map(|line| line.ends_with(",\"n\":1}") || line.ends_with(",\"n\":2}")).collect();
    assert_eq!(numbers, [true, true], "{}", run.out);
    assert_eq!(
        run.err,
        "line 3: rejected: unexpected-shape at \"/user_id\", byte 11\n\
         line 4: rejected: not-json at byte 24\n\
         line 5: rejected: not-an-object at byte 0\n\
         line 6: rejected: invalid-utf8 at byte 19\n"
    );
    assert!(!run.out.contains("4711"));
}

/// The filter sees what is removed afterwards. What selects no topic is rejected without its value.
#[test]
fn only_what_would_be_published_is_shown() {
    let pubsub = "[pubsub]\nproject = \"shop-analytics\"\ntopic = \"e-{/country}\"\ntopics = [\"e-PL\"]\nfilter = { \"/ip\" = \"a\" }\n";
    let place = Place::with(&format!("{CONFIG}{pubsub}"));
    assert_eq!(place.run("keys new").code, Some(0));
    let input = r#"{"ip":"a","country":"PL","n":1}
{"ip":"b","country":"PL","n":2}
{"ip":"a","country":"secret-4711"}
{"ip":"b","country":"secret-4711"}"#;
    let run = place.run_with("anonymise", input);
    assert_eq!((run.code, run.out.as_str()), (Some(1), "{\"country\":\"PL\",\"n\":1}\n"));
    assert_eq!(run.err, "line 3: rejected: undeclared-topic at \"/country\"\n");
}

#[test]
fn empty_input_gives_empty_output() {
    let run = place().run_with("anonymise", "\n \n");
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(0), "", ""));
}

#[test]
fn missing_configuration_names_the_next_step() {
    let place = Place::with(CONFIG);
    let run = place.run("anonymise");
    assert_eq!(run.code, Some(2));
    assert!(run.err.starts_with("error: aqueduct.toml:2: anonymise.keyring: "), "{}", run.err);
    let run = Place::new().run("anonymise");
    assert_eq!(run.code, Some(2));
    assert!(run.err.contains("\n[anonymise]\n"), "{}", run.err);
}

#[test]
fn a_readable_keyring_is_rejected() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.path("keys.toml"), mode).expect("it is our file");
    let run = place.run("anonymise");
    assert_eq!(run.code, Some(2));
    assert!(run.err.contains("0644") && run.err.contains("chmod 600 keys.toml"), "{}", run.err);
}
