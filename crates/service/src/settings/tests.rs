//! The errors that a user reads when the configuration is wrong, and the values when it is right.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::prelude::*;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::*;

const KNOWN: &[&str] = &["kafka", "flows", "writer", "state", "service"];

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    bootstrap_servers: String,
    topics: Vec<String>,
    group_id: String,
    #[serde(default)]
    start: Start,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    eager: bool,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    #[default]
    Earliest,
    Latest,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    name: String,
    window: WindowKeys,
    #[serde(default)]
    views: BTreeMap<String, String>,
    #[serde(default)]
    key: Option<Key>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowKeys {
    size: Span,
    #[serde(default)]
    period: Option<Span>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Key {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Writer {
    Sqlite { path: String },
    Bigquery { project: String },
}

/// A duration whose error quotes the rejected text, as the real one does.
#[derive(Debug, PartialEq)]
struct Span(u64);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
        seconds.map(Self).ok_or_else(|| D::Error::custom(format!("invalid duration {text:?}")))
    }
}

/// A table whose error quotes all of the rejected text.
#[derive(Debug)]
struct Quoting;

impl<'de> Deserialize<'de> for Quoting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = BTreeMap::<String, String>::deserialize(deserializer)?;
        Err(D::Error::custom(format!("{content:?} is not accepted")))
    }
}

/// A section that reads everything, and so finds every error.
#[derive(Debug, PartialEq)]
struct All {
    kafka: Option<Kafka>,
    flows: Option<Vec<Flow>>,
    writer: Option<Writer>,
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse(text, Path::new("conf/aqueduct.toml"), variables, KNOWN)
}

fn only_overrides(path: &str, variables: impl IntoIterator<Item = (String, String)>) -> Settings {
    strict(Settings::assemble(None, Path::new(path), variables, KNOWN)).expect("only overrides")
}

fn all(text: &str, variables: &[(&str, &str)]) -> Result<All, SettingsErrors> {
    let settings = parse(text, variables)?;
    Ok(All {
        kafka: settings.section("kafka")?,
        flows: settings.section("flows")?,
        writer: settings.section("writer")?,
    })
}

/// The text is used without its first line break, so that the key under test is on line 1. `expected` has the location
/// with which the error starts, and then what it contains, separated by spaces.
#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, &[], expected);
}

#[track_caller]
fn check_with(text: &str, variables: &[(&str, &str)], expected: &str) {
    let error = all(text.trim_start_matches('\n'), variables).expect_err(expected).to_string();
    let error = error.strip_prefix("conf/").unwrap_or(&error);
    let mut parts = expected.split(' ');
    assert!(error.starts_with(parts.next().unwrap_or_default()), "{error}");
    parts.for_each(|part| assert!(error.contains(part), "{part} in {error}"));
}

const KAFKA: &str = "[kafka]\nbootstrap_servers = 'b:9092'\ntopics = ['events']\ngroup_id = 'g'\n";

#[test]
fn a_valid_file_is_read() {
    let text = format!(
        "{KAFKA}start = 'latest'\nport = 0x10\nratio = 1\neager = true\n[kafka.properties]\n'security.protocol' = 'SSL'\n\
         [[flows]]\nname = 'a'\nwindow = {{ size = '10s', period = '1s' }}\nviews = {{ '/type' = 'view' }}\nkey = ['x']\n\
         [[flows]]\nname = 'b'\nwindow.size = '5s'\nkey = 'y'\n[writer]\nkind = 'sqlite'\npath = 'x.db'\n"
    );
    let read = all(&text, &[]).expect("good");
    let kafka = read.kafka.expect("kafka");
    assert_eq!((kafka.start, kafka.port, kafka.ratio, kafka.eager), (Start::Latest, Some(16), 1.0, true));
    assert_eq!(kafka.properties["security.protocol"], "SSL");
    let flows = read.flows.expect("flows");
    assert_eq!(flows[0].window, WindowKeys { size: Span(10), period: Some(Span(1)) });
    assert_eq!(flows[0].key, Some(Key::Many(vec!["x".to_owned()])));
    assert_eq!((flows[1].name.as_str(), flows[1].window.size.0), ("b", 5));
    assert_eq!(flows[1].key, Some(Key::One("y".to_owned())));
    assert_eq!(read.writer, Some(Writer::Sqlite { path: "x.db".to_owned() }));
    assert_eq!(all("", &[]).expect("empty"), All { kafka: None, flows: None, writer: None });
}

#[test]
fn invalid_toml_has_a_line() {
    check("[kafka]\ntopics = [\n", "aqueduct.toml:2:");
    check("[kafka]\n\ngroup_id = 'a'\ngroup_id = 'b'\n", "aqueduct.toml:4:");
    check("[kafka]\nport 9092\n", "aqueduct.toml:2:");
    check("[kafka]\nport = 99999999999999999999\n", "aqueduct.toml:2:");
}

#[test]
fn every_float_of_toml_is_read() {
    for (written, expected) in
        [("1_0.5", 10.5), ("-0.0", 0.0), ("+inf", f64::INFINITY), ("1e999", f64::INFINITY)]
    {
        let read = all(&format!("{KAFKA}ratio = {written}\n"), &[]).expect(written);
        assert_eq!(read.kafka.map(|kafka| kafka.ratio), Some(expected), "{written}");
    }
    let read = all(&format!("{KAFKA}ratio = nan\n"), &[]).expect("a float");
    assert!(read.kafka.is_some_and(|kafka| kafka.ratio.is_nan()));
}

#[test]
fn unknown_names_suggest_the_nearest() {
    check("\n[kafak]\n", "aqueduct.toml:1: kafak kafka?");
    check("listen = 1\n", "aqueduct.toml:1: listen");
    check(
        "[kafka]\n# c\nbootstrap_server = 'x'\n",
        "aqueduct.toml:3: kafka.bootstrap_server bootstrap_servers?",
    );
    check(
        "[[flows]]\nname = 'a'\nwindow = { size = '1s', every = '1s' }\n",
        "aqueduct.toml:3: flows[0].window.every",
    );
    check("[writer]\nkind = 'sqlite'\npath = 'x'\npaht = 'x'\n", "aqueduct.toml:4: writer.paht path?");
    check("[writer]\nkind = 'sqlit'\n", "aqueduct.toml:2: writer.kind: \"sqlit\" sqlite?");
    check(&format!("{KAFKA}start = 'newest'\n"), "aqueduct.toml:5: kafka.start:");
    check("[kafka]\nGroup-Id = 'x'\n", "aqueduct.toml:2: kafka.Group-Id group_id?");
}

#[test]
fn a_hint_lists_some_names() {
    let names: Vec<String> = (0..100).map(|n| format!("flow_{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(hint("flwo_42", &names, "flows").contains("flow_42"));
    let listed = hint("other", &names, "flows");
    assert!(listed.contains("flow_19") && !listed.contains("flow_20") && listed.contains("80"), "{listed}");
    assert!(hint("other", &names[..20], "flows").ends_with("flow_19"));
}

#[test]
fn missing_keys_are_named_at_their_table() {
    check("\n\n# c\n[kafka]\ntopics = []\n", "aqueduct.toml:2: kafka.bootstrap_servers");
    check(
        "[[flows]]\nname = 'a'\nwindow.size = '1s'\n\n[[flows]]\nname = 'b'\n",
        "aqueduct.toml:5: flows[1].window",
    );
    check("[writer]\npath = 'x'\n", "aqueduct.toml:1: writer.kind");
}

#[test]
fn an_invalid_value_has_key_and_line() {
    check("[kafka]\nbootstrap_servers = 3\n", "aqueduct.toml:2: kafka.bootstrap_servers:");
    check("[kafka]\ntopics = [\n  'a',\n  1,\n]\n", "aqueduct.toml:4: kafka.topics[1]:");
    check("[kafka]\ntopics = 'a'\n", "aqueduct.toml:2: kafka.topics:");
    check("[kafka]\neager = 'yes'\n", "aqueduct.toml:2: kafka.eager:");
    check("[kafka]\nport = 70000\n", "aqueduct.toml:2: kafka.port:");
    check("[kafka]\nratio = 'x'\n", "aqueduct.toml:2: kafka.ratio:");
    check("[kafka]\nstart = 3\n", "aqueduct.toml:2: kafka.start:");
    check("kafka = 3\n", "aqueduct.toml:1: kafka:");
    check("[kafka]\nproperties = 3\n", "aqueduct.toml:2: kafka.properties:");
    check(
        "[kafka.properties]\n'sasl.password' = 3\n",
        "aqueduct.toml:2: kafka.properties.\"sasl.password\":",
    );
    check("[flows]\nname = 'a'\n", "aqueduct.toml:1: flows:");
    check(
        "[[flows]]\nwindow = { size = '1s',\n  period = '1 parsec' }\n",
        "aqueduct.toml:3: flows[0].window.period:",
    );
}

/// Each expected place and key, in the order in which they are found.
#[test]
fn all_independent_errors_of_a_section_are_found() {
    let check = |text: &str, expected: &[&str]| {
        let errors = all(text.trim_start_matches('\n'), &[]).expect_err(text).0;
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let keys: Vec<&str> =
            found.iter().map(|error| error.strip_prefix("conf/aqueduct.toml:").unwrap_or(error)).collect();
        let is_equal = keys.iter().zip(expected).all(|(key, expected)| key.starts_with(expected));
        assert!(is_equal && keys.len() == expected.len(), "{keys:?} {expected:?}");
    };
    check(
        "[kafka]\nbootstrap_server = 'x'\ntopics = ['a', 1, 'b', 2]\ngroup_id = 'g'\nport = -1\neager = 'yes'\n",
        &[
            "2: unknown key kafka.bootstrap_server;",
            "3: kafka.topics[1]: ",
            "3: kafka.topics[3]: ",
            "5: kafka.port: ",
            "6: kafka.eager: ",
        ],
    );
    // The unknown key is the missing one, but not that of another name.
    check(
        "[kafka]\nbootstrap = 'x'\ntopics = ['a']\ngroup_id = 'g'\n",
        &["2: unknown key kafka.bootstrap;", "1: missing key kafka.bootstrap_servers"],
    );
    // A key that was rejected is not missing, and neither is the table that lacks it.
    check(
        "[[flows]]\nname = 1\nwindow = { size = 2, period = 3 }\nviews = 4\n[[flows]]\nname = 5\n",
        &[
            "2: flows[0].name: ",
            "3: flows[0].window.size: ",
            "3: flows[0].window.period: ",
            "4: flows[0].views: ",
            "6: flows[1].name: ",
        ],
    );
    // The second flow is complete without the first.
    check(
        "[[flows]]\nname = 'a'\n[[flows]]\nname = 'b'\nwindow = { size = 1 }\nkeys = 'x'\n",
        &["1: missing key flows[0].window", "5: flows[1].window.size: ", "6: unknown key flows[1].keys;"],
    );
    check("[writer]\nkind = 'sqlite'\npath = 'x'\npaht = 1\n", &["4: unknown key writer.paht;"]);
    check("kafka = 3\n", &["1: kafka: "]);
}

/// Syntax errors, unknown sections and the errors of every section, each by its place and the key that it names.
#[test]
fn an_error_hides_no_other() {
    let check = |text: &str, variables: &[(&str, &str)], expected: &[&str]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (settings, mut errors) =
            Settings::assemble(Some(text), Path::new("aqueduct.toml"), variables, KNOWN);
        errors.extend(settings.required::<Kafka>("kafka", "").err().into_iter().flat_map(|errors| errors.0));
        errors.extend(
            settings.required::<Vec<Flow>>("flows", "").err().into_iter().flat_map(|errors| errors.0),
        );
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let is_equal = |(found, expected): (&String, &&str)| {
            let mut parts = expected.split(' ');
            let place = parts.next().unwrap_or_default();
            found.trim_start_matches("aqueduct.toml:").starts_with(place)
                && parts.all(|part| found.contains(part))
        };
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(is_equal), "{found:#?}");
    };
    let flow = "[[flows]]\nname = 'a'\nwindow.size = '1s'\n";
    check(
        &format!("[kafka]\nbootstrap_servers = b\ntopics = ['a' 'b']\ngruop_id = 'g'\n{flow}keys = 'x'\n"),
        &[],
        &[
            "2: kafka.bootstrap_servers TOML",
            "3: kafka.topics TOML",
            "4: kafka.gruop_id group_id?",
            "8: flows[0].keys key?",
        ],
    );
    // What follows an open bracket is read, and a key that is damaged is not missing.
    check(
        &format!("[kafka]\ntopics = [\n  'a',\ngroup_id = 1\n{flow}[writter]\nkind = 'sqlite'\n[other]\n"),
        &[],
        &[
            "3: kafka.topics TOML",
            "8: writter writer?",
            "10: other",
            "4: kafka.group_id",
            "1: kafka.bootstrap_servers",
        ],
    );
    // A section with another name is not missing, and its keys are read.
    check(
        &format!("[kafak]\ntopics = 1\n{flow}"),
        &[],
        &["1: kafak kafka?", "2: kafka.topics", "1: kafka.bootstrap_servers"],
    );
    check(
        &format!("[kafka\ntopics = 1\n{KAFKA}{flow}"),
        &[],
        &["1: TOML", "3: TOML", "2: kafka.topics", "1: bootstrap_servers"],
    );
    check(
        &format!(
            "{KAFKA}port = 99999999999999999999\n[[flows]]\nname = 'a'\nwindow = {{ size = '1s' period = '2s' }}\n"
        ),
        &[
            ("AQUEDUCT__KAFKA__TOPICS__LAST", "a"),
            ("AQUEDUCT__", "x"),
            ("AQUEDUCT__FLOWS__0__WINDOW__SIZE", "1s"),
        ],
        &[
            "8: flows[0].window TOML",
            "5: kafka.port",
            "AQUEDUCT__: ",
            "AQUEDUCT__KAFKA__TOPICS__LAST: topics",
        ],
    );
    check(&format!("kafka 3\n{flow}"), &[], &["1: kafka TOML"]);
}

#[test]
fn a_key_is_set_in_the_file_or_the_environment() {
    let settings = parse(
        "[kafka]\ntopics = ['a']\n[[flows]]\nwindow.size = '1s'\n",
        &[("AQUEDUCT__STATE__PERIOD", "1s")],
    );
    let settings = settings.expect("settings");
    for (key, is_set) in [
        ("kafka.topics", true),
        ("kafka", true),
        ("kafka.group_id", false),
        ("flows[0].window.size", true),
        ("flows[0].window.period", false),
        ("flows[1].window.size", false),
        ("state.period", true),
    ] {
        assert_eq!(settings.sets(key), is_set, "{key}");
    }
}

#[test]
fn variables_override_keys_of_any_type() {
    let read = all(
        KAFKA,
        &[
            ("AQUEDUCT_CONFIG", "other.toml"),
            ("AQUEDUCT_LOG", "debug"),
            ("AQUEDUCT__KAFKA__GROUP_ID", "123"),
            ("AQUEDUCT__KAFKA__TOPICS", "a, b"),
            ("AQUEDUCT__KAFKA__PORT", "9092"),
            ("AQUEDUCT__KAFKA__EAGER", "true"),
            ("AQUEDUCT__KAFKA__RATIO", "1e-3"),
            ("AQUEDUCT__KAFKA__START", "latest"),
            ("AQUEDUCT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
            ("AQUEDUCT__KAFKA__PROPERTIES__A__B_C", "true"),
            ("AQUEDUCT__FLOWS__10__NAME", "l"),
            ("AQUEDUCT__WRITER", "{ kind = 'sqlite', path = '${env:DB}' }"),
            ("DB", "x.db"),
        ],
    );
    let error = read.expect_err("flows has no element 10").to_string();
    assert!(error.starts_with("AQUEDUCT__FLOWS__10__NAME: ") && error.contains("10"), "{error}");
    let mut variables: Vec<(String, String)> = (0..11)
        .flat_map(|n| {
            [
                (format!("AQUEDUCT__FLOWS__{n}__NAME"), format!("f{n}")),
                (format!("AQUEDUCT__FLOWS__{n}__WINDOW__SIZE"), "1s".to_owned()),
            ]
        })
        .collect();
    variables.push(("AQUEDUCT__FLOWS__2__VIEWS".to_owned(), "{ '/type' = 'view' }".to_owned()));
    let settings = only_overrides("a.toml", variables);
    let flows: Vec<Flow> = settings.required("flows", "").expect("flows");
    assert_eq!(flows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>()[9..], ["f9", "f10"]);
    assert_eq!(flows[2].views["/type"], "view");
}

#[test]
fn variables_take_the_type_of_the_key() {
    let read = all(
        KAFKA,
        &[
            ("AQUEDUCT__KAFKA__GROUP_ID", "123"),
            ("AQUEDUCT__KAFKA__TOPICS", "[\"a\", '${env:TOPIC}']"),
            ("TOPIC", "b"),
            ("AQUEDUCT__KAFKA__PORT", "9092"),
            ("AQUEDUCT__KAFKA__EAGER", "true"),
            ("AQUEDUCT__KAFKA__RATIO", "1e-3"),
            ("AQUEDUCT__KAFKA__START", "latest"),
            ("AQUEDUCT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
            ("AQUEDUCT__KAFKA__PROPERTIES__A__B_C", "true"),
            ("AQUEDUCT__WRITER", "{ kind = 'sqlite', path = '${env:TOPIC}.db' }"),
        ],
    )
    .expect("good");
    let kafka = read.kafka.expect("kafka");
    assert_eq!((kafka.group_id.as_str(), kafka.topics), ("123", vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!((kafka.port, kafka.eager, kafka.ratio, kafka.start), (Some(9092), true, 0.001, Start::Latest));
    assert_eq!(kafka.properties["security.protocol"], "SSL");
    assert_eq!(kafka.properties["a_b.c"], "true");
    assert_eq!(read.writer, Some(Writer::Sqlite { path: "b.db".to_owned() }));

    for (value, topics) in
        [("a,b", vec!["a", "b"]), ("a", vec!["a"]), ("", vec![]), ("[]", vec![]), ("1,2", vec!["1", "2"])]
    {
        let read = all(KAFKA, &[("AQUEDUCT__KAFKA__TOPICS", value)]).expect(value);
        assert_eq!(read.kafka.expect("kafka").topics, topics, "{value}");
    }
    let read = all(KAFKA, &[("AQUEDUCT__KAFKA__TOPICS__0", "x"), ("AQUEDUCT__KAFKA__TOPICS__1", "y")])
        .expect("parts");
    assert_eq!(read.kafka.expect("kafka").topics, ["x", "y"]);
}

#[test]
fn errors_of_overrides_name_the_variable() {
    let check = |name: &str, value: &str, expected: &str| {
        check_with(KAFKA, &[(name, value)], &format!("{name}: {expected}"));
    };
    check("AQUEDUCT__KAFKA__GROUPID", "x", "kafka.groupid group_id?");
    check("AQUEDUCT__KAFAK__GROUP_ID", "x", "kafak kafka?");
    check("AQUEDUCT__KAFKA__PORT", "many", "kafka.port:");
    check("AQUEDUCT__KAFKA__PORT", "-1", "kafka.port:");
    check("AQUEDUCT__KAFKA__EAGER", "1", "kafka.eager:");
    check("AQUEDUCT__KAFKA__TOPICS", "[a", "kafka.topics:");
    check("AQUEDUCT__KAFKA__TOPICS", "['a', 1]", "kafka.topics[1]:");
    check("AQUEDUCT__KAFKA__GROUP_ID__X", "1", "group_id");
    check("AQUEDUCT__KAFKA__TOPICS__LAST", "a", "topics");
    check("AQUEDUCT__KAFKA__PROPERTIES", "hunter2", "kafka.properties:");
    check("AQUEDUCT__", "x", "SECTION__KEY");
    check("AQUEDUCT__KAFKA____X", "x", "SECTION__KEY");
    check("AQUEDUCT__FLOWS", "[{ name = 'a', window = { size = '1m' } }]", "flows[0].window.size:");
}

#[test]
fn a_missing_file_is_reported() {
    let variables = [("AQUEDUCT__KAFKA__TOPICS".to_owned(), "a".to_owned())];
    let settings = only_overrides("aqueduct.toml", variables);
    let error = settings.required::<Kafka>("kafka", "").expect_err("incomplete").to_string();
    assert!(error.starts_with("aqueduct.toml (") && error.contains("kafka.bootstrap_servers"), "{error}");
    let error = settings
        .required::<Writer>("writer", "[writer]\nkind = \"sqlite\"\n")
        .expect_err("missing")
        .to_string();
    assert!(error.contains("writer") && error.ends_with("[writer]\nkind = \"sqlite\"\n"), "{error}");
    assert!(settings.has("kafka") && !settings.has("writer"));
}

#[test]
fn values_are_expanded_from_variables_and_files() {
    let dir = tempfile::tempdir().expect("folder");
    std::fs::write(dir.path().join("secret"), "s3cret\n\r\n").expect("file");
    let text = "[kafka]\nbootstrap_servers = 'x${env:HOST}:${env:PORT}'\ntopics = ['$${env:HOST}', 'a$b{c}']\ngroup_id = '${file:secret}'\n";
    let variables = [("HOST", "h"), ("PORT", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings =
        Settings::parse(text, &dir.path().join("aqueduct.toml"), variables, KNOWN).expect("settings");
    let kafka: Kafka = settings.required("kafka", "").expect("kafka");
    assert_eq!((kafka.bootstrap_servers.as_str(), kafka.group_id.as_str()), ("xh:1", "s3cret\n"));
    assert_eq!(kafka.topics, ["${env:HOST}", "a$b{c}"]);
}

#[test]
fn failed_expansions_are_errors() {
    let check = |value: &str, expected: &str| {
        check(
            &format!("[kafka]\ngroup_id = '{value}'\n"),
            &format!("aqueduct.toml:2: kafka.group_id: {expected}"),
        );
    };
    check("${env:NOPE}", "${env:NOPE}:");
    check("${file:nope}", "${file:nope}:");
    check("a${env:NOPE", "$${");
    check("${NOPE}", "$${");
}

#[test]
fn expanded_values_are_not_shown() {
    let secret = [("S", "hunter2\"\\")];
    check_with("[kafka]\nstart = '${env:S}'\n", &secret, "aqueduct.toml:2: kafka.start:");
    check_with(
        "[[flows]]\nname = 'a'\nwindow.size = '${env:S}'\n",
        &secret,
        "aqueduct.toml:3: flows[0].window.size:",
    );
    check_with("[writer]\nkind = '${env:S}'\n", &secret, "aqueduct.toml:2: writer.kind:");
    let settings = parse("[state]\na = '${env:S}'\nb = 'open'\n", &secret).expect("settings");
    let error = settings.required::<Quoting>("state", "").expect_err("it refuses everything").to_string();
    assert!(error.contains(r#"{"a": "***", "b": "open"}"#), "{error}");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn errors_of_the_caller_have_a_line() {
    let text = format!(
        "{KAFKA}[kafka.properties]\n'a.b' = 'x'\n[[flows]]\nname = 'a'\n[[flows]]\nname = 'b'\nwindow = {{ size = '1s' }}\n"
    );
    let settings =
        parse(&text, &[("AQUEDUCT__KAFKA__PORT", "1"), ("AQUEDUCT__STATE__PERIOD", "1s")]).expect("settings");
    let check = |key: &str, place: &str| {
        assert_eq!(settings.error_at(key, "no").to_string(), format!("{place}: {key}: no"));
    };
    check("kafka.topics", "conf/aqueduct.toml:3");
    check("kafka.topics[0]", "conf/aqueduct.toml:3");
    check("kafka.properties.\"a.b\"", "conf/aqueduct.toml:6");
    check("kafka.nothing", "conf/aqueduct.toml:1");
    check("kafka.port", "AQUEDUCT__KAFKA__PORT");
    check("flows[0].name", "conf/aqueduct.toml:8");
    check("flows[0].window.size", "conf/aqueduct.toml:7");
    check("flows[1].window.size", "conf/aqueduct.toml:11");
    check("flows[7]", "conf/aqueduct.toml:7");
    check("writer", "conf/aqueduct.toml");
    check("state.period", "AQUEDUCT__STATE__PERIOD");
}

#[test]
fn files_are_found_and_paths_resolved() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("mine.toml");
    let named = Source::choose(Some(path.clone()), Some("other.toml".into()));
    let error = Settings::open(&named, KNOWN).expect_err("no file").to_string();
    assert!(error.starts_with(&path.display().to_string()) && error.contains("--config"), "{error}");
    std::fs::write(&path, "[state]\n").expect("file");
    let settings = Settings::open(&named, KNOWN).expect("file");
    assert_eq!(settings.dir(), dir.path());
    assert_eq!(settings.resolve("keys.toml"), dir.path().join("keys.toml"));
    assert_eq!(settings.resolve("/keys.toml"), Path::new("/keys.toml"));
    std::fs::write(&path, b"\xff").expect("file");
    let error = Settings::open(&named, KNOWN).expect_err("no text").to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");

    let by = |variable: &str| Source::choose(None, Some(variable.into()));
    assert_eq!(by("x.toml"), Source::Named { path: "x.toml".into(), by: "AQUEDUCT_CONFIG".to_owned() });
    assert_eq!((by(""), Source::choose(None, None)), (Source::Default, Source::Default));
    assert_eq!(parse("", &[]).expect("empty").dir(), Path::new("conf"));
    assert_eq!(folder(Path::new("aqueduct.toml")), Path::new("."));
}

proptest! {
    #[test]
    fn any_text_parses_or_has_a_location(text in "(?s)[\\[\\]a-z='\"\n.{},#]{0,60}|.{0,60}") {
        if let Err(error) = all(&text, &[]) {
            prop_assert!(error.to_string().starts_with("conf/aqueduct.toml:"), "{}", error);
        }
    }

    #[test]
    fn any_override_applies_or_fails(
        variables in prop::collection::vec(("[A-Z0-9_]{0,12}|KAFKA__[A-Z_0-9]{0,14}|FLOWS__[0-2](__[A-Z]{1,4}){0,2}", "[\\[\\]{}a,'=0-9]{0,8}"), 0..6),
    ) {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (format!("AQUEDUCT__{name}"), value.clone())).collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let _ = all(KAFKA, &variables);
    }

    #[test]
    fn strings_from_variables_are_verbatim(value in "[^\0]{0,20}") {
        prop_assume!(!value.contains("${"));
        let read = all(KAFKA, &[("AQUEDUCT__KAFKA__GROUP_ID", &value)]).expect("a text");
        prop_assert_eq!(read.kafka.expect("kafka").group_id, value);
    }

    #[test]
    fn no_error_contains_a_secret(secret in "[!-~]{6,20}", key in prop::sample::select(vec![
        "kafka.start", "kafka.port", "kafka.eager", "kafka.topics", "kafka.ratio", "kafka.properties", "kafka",
        "writer", "writer.kind", "flows",
    ])) {
        let (section, rest) = key.split_once('.').unwrap_or((key, ""));
        let text = match rest {
            "" => format!("{section} = '${{env:SECRET}}'\n"),
            _ => format!("[{section}]\n{rest} = '${{env:SECRET}}'\n"),
        };
        let error = all(&text, &[("SECRET", &secret)]).expect_err("it fits nowhere");
        prop_assert!(!no_templates(&error).contains(&secret), "{error}");
        let variable = format!("AQUEDUCT__{}", key.to_uppercase().replace('.', "__"));
        if let Err(error) = all("", &[(&variable, "${env:SECRET}"), ("SECRET", &secret)]) {
            prop_assert!(!no_templates(&error).contains(&secret), "{error}");
        }
    }
}

/// The text of an error. The probability that an arbitrary secret equals a part of our own text is negligible.
fn no_templates(error: &impl Debug) -> String {
    format!("{error:?}")
}

#[test]
fn numbers_keep_all_their_digits_or_are_refused() {
    let read = |number: &str| {
        Settings::parse(&format!("[a]\nx = {number}\n"), Path::new("a.toml"), [], &["a"]).map(|_| ())
    };
    for number in ["0.1", "1e3", "-12.50", "1_000.25", "0.0", "123456789012345.0", "inf", "9007199254740993"]
    {
        assert!(read(number).is_ok(), "{number}");
    }
    for number in ["0.10000000000000001", "1234567890123456789.0", "1.00000000000000000001"] {
        let error = read(number).expect_err("it is not the number that is kept").to_string();
        assert!(error.starts_with("a.toml:2: "), "{number}: {error}");
    }
}
