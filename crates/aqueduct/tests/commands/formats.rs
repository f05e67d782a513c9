//! Declared formats: mistakes with line and key, files and lines that are decoded, and the schemas that `check` compares.

use crate::support::Place;

const KAFKA: &str = r#"[kafka]
bootstrap_servers = "localhost:9092"
topics = ["events", "clicks"]
group_id = "g"
"#;

const REST: &str = r#"
[anonymise]
pseudonymise = ["/user_id"]
forward = "all"
[events]
time = "/time"
id = "/event_id"
"#;

const AVRO: &str = r#"{ "type": "record", "name": "SecretName", "fields": [
    { "name": "time", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "event_id", "type": ["null", "string"] },
    { "name": "user_id", "type": { "type": "array", "items": "string" } }
] }"#;

fn place(formats: &str) -> Place {
    let place = Place::with(&format!("{KAFKA}{formats}{REST}"));
    place.write("events.avsc", AVRO);
    place.write("events.proto", "syntax = \"proto3\";\nmessage A { string user_id = 1; }\nmessage B {}\n");
    place
}

/// The one error of `check --offline` has this line and names this key.
#[track_caller]
fn check(formats: &str, line: usize, key: &str) {
    let run = place(formats).run("check --offline");
    assert_eq!((run.code, run.err.lines().count()), (Some(2), 1), "{formats}: {}", run.err);
    let start = format!("error: aqueduct.toml:{line}: ");
    assert!(run.err.starts_with(&start) && run.err.contains(key), "{formats}: {}", run.err);
}

#[test]
fn mistakes_have_line_and_key() {
    const REGISTRY: &str = "[schema_registry]\nurl = \"http://r:8081\"\n";
    for (formats, line, key) in [
        ("[kafka.format]\nvalu = \"avro\"\n", 6, "kafka.format.valu; did you mean value?"),
        ("[kafka.format]\nvalue = \"avor\"\n", 6, "did you mean avro?"),
        ("[kafka.format]\nvalue = \"avro\"\n", 6, "kafka.format.value"),
        ("[kafka.format]\nkey = \"avro\"\n", 6, "kafka.format.key"),
        ("[kafka.format]\nvalue = \"avro\"\nschema = \"registry\"\n", 7, "kafka.format.schema"),
        ("[kafka.format]\nvalue = \"avro\"\nschema = \"nowhere.avsc\"\n", 7, "kafka.format.schema"),
        ("[kafka.format]\nvalue = \"avro\"\nschema = \"events.proto\"\n", 7, "kafka.format.schema"),
        (
            "[kafka.format]\nvalue = \"protobuf\"\nschema = \"events.proto\"\nmessage = \"C\"\n",
            7,
            "kafka.format.schema",
        ),
        (
            "[kafka.format]\nvalue = \"avro\"\nschema = \"events.avsc\"\nmessage = \"C\"\n",
            8,
            "kafka.format.message",
        ),
        ("[kafka.format]\nunwrap = \"debezum\"\n", 6, "did you mean debezium?"),
        ("[kafka.format]\nunwrap = \"payload\"\n", 6, "kafka.format.unwrap"),
        ("[kafka.formats.click]\nunwrap = \"hermes\"\n", 5, "did you mean clicks?"),
        ("[kafka.formats.clicks]\nschema = \"events.avsc\"\n", 6, "kafka.formats.clicks.schema"),
        (REGISTRY, 5, "schema_registry"),
        (
            "[kafka.format]\nvalue = \"avro\"\n[schema_registyr]\nurl = \"http://r:8081\"\n",
            7,
            "did you mean schema_registry?",
        ),
    ] {
        check(formats, line, key);
    }
    let registry = format!("[kafka.format]\nvalue = \"avro\"\n{}", REGISTRY.replace("http", "ftp"));
    check(&registry, 8, "schema_registry.url");
    let run = place(&format!("[kafka.format]\nvalue = \"avro\"\n{REGISTRY}")).run("check --offline");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
fn tags_need_a_schema() {
    let tagged = REST.replace("[\"/user_id\"]", "[\"tag:PII\"]");
    let run = Place::with(&format!("{KAFKA}{tagged}")).run("check --offline");
    assert_eq!(run.code, Some(2));
    assert!(
        run.err.starts_with("error: aqueduct.toml:7: ") && run.err.contains("anonymise.pseudonymise"),
        "{}",
        run.err
    );
    let place =
        Place::with(&format!("{KAFKA}[kafka.format]\nvalue = \"avro\"\nschema = \"events.avsc\"\n{tagged}"));
    place.write("events.avsc", AVRO);
    assert_eq!(place.run("check --offline").code, Some(2), "no field has the tag");
    place.write("events.avsc", VIEW);
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(place.run("check --offline").code, Some(0));
    // Lines of JSON would pass with what a tag protects.
    let refused = place.run_with("anonymise --topic events", "{}\n");
    assert_eq!(refused.code, Some(2), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("anonymise.pseudonymise"), "{}", refused.err);
}

#[test]
fn a_schema_in_a_file_is_compared_with_every_pointer() {
    let place = place("[kafka.formats.events]\nvalue = \"avro\"\nschema = \"events.avsc\"\n");
    assert_eq!(place.run("keys new").code, Some(0));
    let run = place.run("check --offline");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let warnings: Vec<&str> = run.out.lines().filter(|line| line.starts_with("warning ")).collect();
    let has = |key: &str, text: &str| warnings.iter().any(|line| line.contains(key) && line.contains(text));
    assert!(has("events.id", "\"/event_id\" can be null"), "{warnings:?}");
    assert!(has("anonymise.pseudonymise", "\"/user_id\" is an array"), "{warnings:?}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn an_envelope_is_taken_off_lines() {
    let place = place("[kafka.formats.events]\nunwrap = \"/payload\"\n");
    place.run("keys new");
    let lines = "{\"payload\":{\"a\":1}}\n{\"b\":2}\n";
    let run = place.run_with("anonymise --topic events", lines);
    assert_eq!((run.code, run.out.as_str()), (Some(1), "{\"a\":1}\n"));
    assert!(run.err.contains("line 2: rejected: no-envelope"), "{}", run.err);
    let run = place.run_with("anonymise --topic clicks", lines);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "{\"payload\":{\"a\":1}}\n{\"b\":2}\n"));
}

const VIEW: &str = r#"{"type":"record","name":"SecretName","fields":[{"name":"time","type":"string"},{"name":"type","type":"string"},{"name":"page","type":"string"},{"name":"mail","type":"string","confluent:tags":["PII"]}]}"#;

/// An Avro object container file with a view of each person, written by hand.
fn container(values: &[&str]) -> Vec<u8> {
    container_of(VIEW, values)
}

/// As [`container`]; the schema is encoded as that of a view is, such as a record around it.
fn container_of(schema: &str, values: &[&str]) -> Vec<u8> {
    let text = |text: &str, out: &mut Vec<u8>| {
        let mut length = text.len() * 2;
        while length >= 0x80 {
            out.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        out.push(length.to_le_bytes()[0]);
        out.extend_from_slice(text.as_bytes());
    };
    let mut file = b"Obj\x01\x02".to_vec();
    text("avro.schema", &mut file);
    text(schema, &mut file);
    file.push(0);
    file.extend_from_slice(&[7; 16]);
    let mut block = Vec::new();
    for value in values {
        for field in ["2026-01-01T00:00:00Z", "view", "/a", value] {
            text(field, &mut block);
        }
    }
    file.push(u8::try_from(values.len() * 2).expect("few"));
    let mut length = block.len() * 2;
    while length >= 0x80 {
        file.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    file.push(length.to_le_bytes()[0]);
    file.extend_from_slice(&block);
    file.extend_from_slice(&[7; 16]);
    file
}

#[test]
fn avro_files_are_replayed() {
    let config =
        format!("{}window = {{ size = \"10m\" }}\n[anonymise]\nforward = \"all\"\n", crate::support::FLOW);
    let place = Place::with(&config);
    place.write("events.avro", container(&["m1", "m2", "m3"]));
    let run = place.run("replay --final events.avro");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("\"views\":3"), "{}", run.out);
    let cut = container(&["m1", "m2"]);
    place.write("cut.avro", &cut[..cut.len() - 5]);
    let run = place.run("replay --final cut.avro");
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("cut.avro"), "{}", run.err);
}

#[test]
fn tags_of_an_avro_file_apply() {
    let config = format!(
        "{}window = {{ size = \"10m\" }}\n[anonymise]\npseudonymise = [\"tag:PII\"]\nforward = \"all\"\n",
        crate::support::FLOW.replace("page = \"/page\"", "page = \"/mail\"")
    );
    let place = Place::with(&config);
    assert_eq!(place.run("keys new").code, Some(0));
    place.write("events.avro", container(&["secret@mail", "secret@mail"]));
    let run = place.run("replay --final events.avro");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("\"views\":2") && !run.out.contains("secret"), "{}", run.out);
    place.write("events.ndjson", "{}\n");
    assert_eq!(place.run("replay --final events.ndjson").code, Some(2), "lines have no tags");
}

/// A flow by mail address, which is tagged, over a topic in an envelope.
fn tagged(rest: &str) -> Place {
    let flow = crate::support::FLOW.replace("page = \"/page\"", "page = \"/mail\"");
    let config = format!("{flow}window = {{ size = \"10m\" }}\n[anonymise]\nforward = \"all\"\n{rest}");
    let place = Place::with(&config);
    assert_eq!(place.run("keys new").code, Some(0));
    place
}

#[test]
fn tags_of_an_avro_file_apply_inside_of_an_envelope() {
    let place = tagged(&format!(
        "pseudonymise = [\"tag:PII\"]\n{KAFKA}[kafka.format]\nvalue = \"avro\"\nunwrap = \"/after\"\n\
         [schema_registry]\nurl = \"http://localhost:1\"\n"
    ));
    let schema =
        format!(r#"{{"type":"record","name":"Change","fields":[{{"name":"after","type":{VIEW}}}]}}"#);
    place.write("events.avro", container_of(&schema, &["secret-mail"]));
    let replayed = place.run("replay --final events=events.avro");
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    assert!(replayed.out.contains("\"views\":1"), "{}", replayed.out);
    assert!(!replayed.out.contains("secret-mail"), "{}", replayed.out);
    let one_topic = String::from_utf8(place.read("aqueduct.toml")).expect("text").replace(", \"clicks\"", "");
    place.write("aqueduct.toml", one_topic);
    let sample = place.run("check --offline --sample-file events.avro");
    assert!(
        sample.out.lines().any(|line| line.contains("/mail") && line.contains("pseudonymised")),
        "{}",
        sample.out
    );
}

#[test]
fn a_tag_that_no_schema_has_is_refused() {
    let place = tagged("pseudonymise = [\"tag:PPI\"]\n");
    place.write("events.avro", container(&["secret-mail"]));
    for command in ["replay --final events.avro", "check --offline --sample-file events.avro"] {
        let run = place.run(command);
        assert_eq!(run.code, Some(2), "{command}: {}", run.err);
        assert!(run.err.contains("tag:PII") && !run.out.contains("secret-mail"), "{command}: {}", run.err);
    }
    for tag in ["tag: PII", "tag:PII ", "tag:*"] {
        let place = Place::with(&format!("[anonymise]\nforward = \"all\"\npseudonymise = [{tag:?}]\n"));
        let run = place.run("check --offline");
        let start = "error: aqueduct.toml:3: anonymise.pseudonymise[0]: ";
        assert!(run.code == Some(2) && run.err.starts_with(start), "{tag}: {}", run.err);
    }
}
