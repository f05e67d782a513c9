//! Configurations and records through the whole pipeline.

use connect::{
    connector::{self, Defaults},
    define::Config,
    pipeline::{Outcome, Pipeline, Raw},
    providers::Providers,
};

fn config(more: &[(&str, &str)]) -> Config {
    let base = [
        ("name", "c"),
        ("connector.class", "CloudPubSubSinkConnector"),
        ("topics", "events"),
        ("cps.project", "p"),
        ("cps.topic", "t"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("transforms", "mask"),
        ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ("transforms.mask.fields", "user_id"),
    ];
    base.iter()
        .chain(more)
        .filter(|(_, value)| *value != "-")
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .fold(Config::new(), |mut config, (key, value)| {
            config.insert(key, value);
            config
        })
}

fn defaults() -> Defaults {
    Defaults { key_converter: Config::new(), value_converter: Config::new(), providers: Providers::default() }
}

/// The keys with errors.
#[track_caller]
fn check(more: &[(&str, &str)], expected: &[&str]) {
    let mut config = config(more);
    for (key, _) in more.iter().filter(|(_, value)| *value == "-") {
        config.remove(*key);
    }
    let (validation, connector) = connector::validate(&config, &defaults());
    let wrong: Vec<&str> = validation
        .values
        .all
        .iter()
        .filter(|(_, value)| !value.errors.is_empty())
        .map(|(_, value)| &*value.name)
        .collect();
    assert_eq!(wrong, expected, "{:?}", validation.values.errors().collect::<Vec<_>>());
    assert_eq!(connector.is_some(), expected.is_empty());
}

fn message(more: &[(&str, &str)], key: &str, value: &str) -> String {
    let (validation, connector) = connector::validate(&config(more), &defaults());
    let connector =
        connector.unwrap_or_else(|| panic!("{:?}", validation.values.errors().collect::<Vec<_>>()));
    let mut pipeline = Pipeline::new(&connector).expect("valid");
    let raw = Raw {
        topic: "events",
        partition: 3,
        offset: 42,
        timestamp: Some(1_700_000_000_000),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: vec![("trace".into(), Some(b"1")), ("secret".into(), Some(b"s"))],
    };
    match pipeline.take(raw) {
        Ok(Outcome::Message(message)) => String::from_utf8_lossy(message.out().encoded()).into_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn what_is_wrong_is_named() {
    check(&[], &[]);
    check(&[("topics", "")], &["topics", "topics.regex"]);
    check(&[("cps.topic", "-")], &["cps.topic"]);
    check(&[("transforms", "mask,nope")], &["transforms.nope.type"]);
    check(
        &[("transforms.mask.type", "org.apache.kafka.connect.transforms.Flatten$Value")],
        &["transforms.mask.type", "transforms.mask.fields"],
    );
    check(&[("transforms.mask.fields", "")], &["transforms.mask.fields"]);
    check(&[("transforms.mask.feilds", "a")], &["transforms.mask.feilds"]);
    check(
        &[("value.converter", "io.confluent.connect.avro.AvroConverter")],
        &["value.converter.schema.registry.url"],
    );
    check(&[("value.converter", "org.apache.kafka.connect.converters.LongConverter")], &["value.converter"]);
    check(&[("value.converter.schemas.enabel", "false")], &["value.converter.schemas.enabel"]);
    check(
        &[("consumer.override.isolation.level", "read_uncommitted")],
        &["consumer.override.isolation.level"],
    );
    check(&[("aqueduct.forwards", "all")], &["aqueduct.forwards"]);
    check(&[("errors.deadletterqueue.topic.name", "dead")], &[]);
    check(&[("aqueduct.deadletters", "payload")], &["aqueduct.deadletters"]);
    check(&[("aqueduct.deadletters", "payload"), ("errors.deadletterqueue.topic.name", "dead")], &[]);
    check(&[("errors.deadletterqueue.topic.name", "events")], &["topics"]);
    check(&[("enableCompression", "true")], &[]);
    check(&[("cps.project", "${env:NO_SUCH}")], &["cps.project"]);
    check(&[("cps.topic", "projects/p/topics/t")], &["cps.topic"]);
    check(&[("transforms.mask.negate", "true")], &["transforms.mask.negate"]);
    check(&[("label.team", "x")], &[]);
}

/// A transform that leaves out some records protects nothing.
#[test]
fn a_predicate_decides_whether_a_transform_protects() {
    let with = |class: &'static str, negate: &'static str| {
        [
            ("transforms.mask.predicate", "p"),
            ("transforms.mask.negate", negate),
            ("predicates", "p"),
            ("predicates.p.type", class),
        ]
    };
    let tombstones = "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone";
    check(&with(tombstones, "true"), &[]);
    check(&with(tombstones, "false"), &["aqueduct.forward"]);
    let mut named = with("org.apache.kafka.connect.transforms.predicates.TopicNameMatches", "false").to_vec();
    named.push(("predicates.p.pattern", "events"));
    check(&named, &["aqueduct.forward"]);
    named.push(("aqueduct.forward", "all"));
    check(&named, &[]);
}

#[test]
fn personal_data_does_not_pass_without_a_word() {
    check(
        &[("transforms", "-"), ("transforms.mask.type", "-"), ("transforms.mask.fields", "-")],
        &["aqueduct.forward"],
    );
    let only = |class: &'static str, key: &'static str, value: &'static str| {
        [
            ("transforms", "x"),
            ("transforms.mask.type", "-"),
            ("transforms.mask.fields", "-"),
            ("transforms.x.type", class),
            (key, value),
        ]
    };
    let router = "org.apache.kafka.connect.transforms.RegexRouter";
    let mut routed = only(router, "transforms.x.regex", ".*").to_vec();
    routed.push(("transforms.x.replacement", "x"));
    check(&routed, &["aqueduct.forward"]);
    routed.push(("aqueduct.forward", "all"));
    check(&routed, &[]);
    check(
        &only("org.apache.kafka.connect.transforms.MaskField$Key", "transforms.x.fields", "a"),
        &["aqueduct.forward"],
    );
    check(&only("aqueduct.Pseudonymise", "transforms.x.forward", "/*"), &["aqueduct.forward"]);
    check(&only("io.aiven.kafka.connect.transforms.Hash$Value", "transforms.x.function", "sha256"), &[]);
    check(&[("orderingKeySource", "key")], &["orderingKeySource"]);
    check(&[("orderingKeySource", "key"), ("aqueduct.key", "forward")], &[]);
    check(&[("aqueduct.key", "pseudonymise")], &["aqueduct.key"]);
    check(&[("headers.publish", "true")], &["headers.publish"]);
    check(&[("headers.publish", "true"), ("aqueduct.headers", "trace")], &[]);
}

#[test]
fn a_message_has_what_the_configuration_lets_pass() {
    let event = r#"{"user_id":"u1","page":"/a","n":1.50}"#;
    let plain = message(&[], "k1", event);
    assert!(plain.contains(r#"{"user_id":"","page":"/a","n":1.50}"#), "{plain}");
    assert!(!plain.contains("k1") && !plain.contains("trace"), "{plain}");
    let more = message(
        &[
            ("aqueduct.key", "forward"),
            ("metadata.publish", "true"),
            ("headers.publish", "true"),
            ("aqueduct.headers", "trace"),
        ],
        "k1",
        event,
    );
    for part in
        ["k1", "kafka.topic", "events", "kafka.offset", "42", "kafka.timestamp", "1700000000000", "trace"]
    {
        assert!(more.contains(part), "{part} in {more}");
    }
    assert!(!more.contains("secret"), "{more}");
}

#[test]
fn errors_have_no_content() {
    for value in [r#"{"user_id":"u1""#, "\"u1\"", "[\"u1\"]"] {
        let error = message(&[], "k1", value);
        assert!(error.starts_with("error: ") && !error.contains("u1"), "{error}");
    }
}

/// The value after transforms of these keys, as JSON; `None` if the record was dropped.
fn transformed(more: &[(&str, &str)], value: Option<&str>) -> Result<Option<String>, String> {
    let base = [
        ("transforms", "x"),
        ("transforms.mask.type", "-"),
        ("transforms.mask.fields", "-"),
        ("aqueduct.forward", "all"),
    ];
    let all: Vec<(&str, &str)> = base.iter().chain(more).copied().collect();
    let mut config = config(&all);
    for (key, _) in all.iter().filter(|(_, value)| *value == "-") {
        config.remove(*key);
    }
    let (validation, connector) = connector::validate(&config, &defaults());
    let connector =
        connector.unwrap_or_else(|| panic!("{:?}", validation.values.errors().collect::<Vec<_>>()));
    let mut pipeline = Pipeline::new(&connector).expect("valid");
    let raw = Raw {
        topic: "events",
        partition: 0,
        offset: 0,
        timestamp: Some(1_700_000_000_000),
        key: None,
        value: value.map(str::as_bytes),
        headers: Vec::new(),
    };
    let record = pipeline.transformed(raw).map_err(|error| format!("{error:?}"))?;
    Ok(record.map(|record| {
        let mut json = Vec::new();
        connect::data::write_json(&record.value.value, record.value.schema.as_deref(), &mut json);
        String::from_utf8(json).expect("text")
    }))
}

#[test]
fn hash_makes_plain_digests_or_pseudonyms() {
    let hash = |function: &'static str, more: &[(&'static str, &'static str)], value: &str| {
        let keys = [
            ("transforms.x.type", "io.aiven.kafka.connect.transforms.Hash$Value"),
            ("transforms.x.function", function),
        ];
        transformed(&keys.iter().chain(more).copied().collect::<Vec<_>>(), Some(value))
    };
    let of = |text: &str| Ok(Some(format!("{{\"id\":\"{text}\"}}")));
    let field = [("transforms.x.field.name", "id")];
    let event = r#"{"id":"abc"}"#;
    // The test vectors of FIPS 180 and RFC 1321.
    assert_eq!(hash("md5", &field, event), of("900150983cd24fb0d6963f7d28e17f72"));
    assert_eq!(hash("sha1", &field, event), of("a9993e364706816aba3e25717850c26c9cd0d89d"));
    assert_eq!(
        hash("sha256", &field, event),
        of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    assert!(
        hash("md5", &field, r#"{"other":"abc"}"#).is_err() && hash("md5", &field, r#"{"id":1}"#).is_err()
    );
    let skips = [field[0], ("transforms.x.skip.missing.or.null", "true")];
    assert_eq!(hash("md5", &skips, r#"{"id":null}"#), Ok(Some(r#"{"id":null}"#.to_owned())));
    assert_eq!(hash("md5", &skips, "{}"), Ok(Some("{}".to_owned())));
}

#[test]
fn pseudonyms_are_those_of_the_keyring() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    let keyring = connector_keyring(&path);
    let path = path.to_str().expect("text");
    let expected = String::from_utf8_lossy(&keyring.keys()[0].pseudonym("u1")).into_owned();
    let own = [
        ("transforms.x.type", "aqueduct.Pseudonymise"),
        ("transforms.x.pseudonymise", "/user_id"),
        ("transforms.x.remove", "/ip"),
        ("transforms.x.forward", "all"),
        ("aqueduct.keyring", path),
    ];
    let event = r#"{"user_id":"u1","ip":"10.0.0.1","n":1.50}"#;
    let json = format!(r#"{{"user_id":"{expected}","n":1.50}}"#);
    assert_eq!(transformed(&own, Some(event)), Ok(Some(json.clone())));
    let mut as_text = own.to_vec();
    as_text.extend([
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter.schemas.enable", "-"),
    ]);
    assert_eq!(transformed(&as_text, Some(event)), Ok(Some(format!("{json:?}"))));
    assert!(transformed(&own, Some("[1]")).is_err() && transformed(&own, None).is_err());
    let hashed = [
        ("transforms.x.type", "Hash$Value"),
        ("transforms.x.function", "sha256"),
        ("transforms.x.field.name", "user_id"),
        ("aqueduct.hash", "hmac"),
        ("aqueduct.keyring", path),
    ];
    assert_eq!(
        transformed(&hashed, Some(r#"{"user_id":"u1"}"#)),
        Ok(Some(format!(r#"{{"user_id":"{expected}"}}"#)))
    );
}

fn connector_keyring(path: &std::path::Path) -> ::connector::keyring::Keyring {
    ::connector::keyring::Keyring::create(path, event::EventTime(1)).expect("a keyring")
}

#[test]
fn a_nested_object_has_members_once_it_is_extracted() {
    let keys = [
        ("transforms", "out,x"),
        ("transforms.out.type", "org.apache.kafka.connect.transforms.ExtractField$Value"),
        ("transforms.out.field", "user"),
        ("transforms.x.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.x.exclude", "id"),
    ];
    let event = r#"{"user":{"id": 1, "country": "PL"}}"#;
    assert_eq!(transformed(&keys, Some(event)), Ok(Some(r#"{"country":"PL"}"#.to_owned())));
}

#[test]
fn tombstones_are_dropped_or_refused() {
    let handle = |behavior: &'static str, value: Option<&str>| {
        let keys = [("transforms.x.type", "TombstoneHandler"), ("transforms.x.behavior", behavior)];
        transformed(&keys, value)
    };
    assert_eq!(handle("drop_silent", None), Ok(None));
    assert_eq!(handle("drop_warn", Some("{}")), Ok(Some("{}".to_owned())));
    assert!(handle("fail", None).is_err());
}

#[test]
fn a_row_takes_the_place_of_its_envelope() {
    let row = r#"{"type":"struct","optional":true,"fields":[{"field":"id","type":"int32"}]}"#;
    let field = |name: &str| row.replacen('{', &format!("{{\"field\":\"{name}\","), 1);
    let schema = format!(
        r#"{{"type":"struct","name":"db.users.Envelope","fields":[{},{},{{"field":"source","type":"struct","fields":[{{"field":"lsn","type":"int64"}}]}},{{"field":"op","type":"string"}}]}}"#,
        field("before"),
        field("after"),
    );
    let record = |before: &str, after: &str, op: &str| {
        format!(
            r#"{{"schema":{schema},"payload":{{"before":{before},"after":{after},"source":{{"lsn":7}},"op":"{op}"}}}}"#
        )
    };
    let unwrap = |more: &[(&'static str, &'static str)], value: Option<&str>| {
        let keys = [
            ("transforms.x.type", "io.debezium.transforms.ExtractNewRecordState"),
            ("value.converter.schemas.enable", "true"),
        ];
        transformed(&keys.iter().chain(more).copied().collect::<Vec<_>>(), value)
    };
    let (update, delete) = (record(r#"{"id":1}"#, r#"{"id":2}"#, "u"), record(r#"{"id":1}"#, "null", "d"));
    let json = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(unwrap(&[], Some(&update)), json(r#"{"id":2}"#));
    assert_eq!(unwrap(&[], Some(&delete)), Ok(None));
    assert_eq!(unwrap(&[], None), json("null"));
    let rewrite =
        [("transforms.x.delete.tombstone.handling.mode", "rewrite"), ("transforms.x.add.fields", "op,lsn")];
    assert_eq!(unwrap(&rewrite, Some(&update)), json(r#"{"id":2,"__op":"u","__lsn":7,"__deleted":"false"}"#));
    assert_eq!(unwrap(&rewrite, Some(&delete)), json(r#"{"id":1,"__op":"d","__lsn":7,"__deleted":"true"}"#));
    assert_eq!(unwrap(&rewrite, None), Ok(None));
    let old = [("transforms.x.drop.tombstones", "false"), ("transforms.x.delete.handling.mode", "none")];
    assert_eq!(unwrap(&old, Some(&delete)), json("null"));
    assert_eq!(unwrap(&old, None), json("null"));
}

/// A null can be a default of a megabyte, and an empty element all fields of its schema.
#[test]
fn a_few_bytes_cannot_take_gigabytes() {
    let keys = [
        ("value.converter.schemas.enable", "true"),
        ("transforms.x.type", "org.apache.kafka.connect.transforms.ExtractField$Value"),
        ("transforms.x.field", "n"),
    ];
    let record = |items: &str, payload: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"field":"n","type":"int32"}},{{"field":"a","type":"array","items":{items}}}]}},"payload":{{"n":1,"a":[{payload}]}}}}"#
        )
    };
    let default = format!(r#"{{"type":"string","optional":true,"default":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(transformed(&keys, Some(&record(&default, "null,null"))), Ok(Some("1".to_owned())));
    let nulls = vec!["null"; 1_000].join(",");
    assert!(transformed(&keys, Some(&record(&default, &nulls))).is_err());
    let fields: Vec<String> = (0..1_000)
        .map(|number| format!(r#"{{"field":"f{number}","type":"int32","optional":true}}"#))
        .collect();
    let wide = format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","));
    assert!(transformed(&keys, Some(&record(&wide, &vec!["{}"; 10_000].join(",")))).is_err());
}

#[test]
fn debug_output_has_no_content() {
    let (_, connector) = connector::validate(&config(&[]), &defaults());
    let mut pipeline = Pipeline::new(&connector.expect("valid")).expect("valid");
    let raw = Raw {
        topic: "events",
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(br#"{"user_id":"u1","page":"secret"}"#),
        headers: Vec::new(),
    };
    let outcome = pipeline.take(raw).expect("a message");
    assert_eq!(format!("{outcome:?}"), "Message");
}
