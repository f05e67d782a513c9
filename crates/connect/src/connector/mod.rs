//! A connector's configuration: validated as Connect validates it, and with the rules about personal data.

mod chain;
mod keys;
mod privacy;

use std::collections::BTreeSet;

use codec::Part;

pub use chain::Step;
pub use keys::{CLASS, ENDPOINT, KAFKA_VERSION, VERSION};

use crate::{
    client_properties::{self, Overrides},
    converters,
    define::{Config, Key, Values},
    providers::Providers,
    transforms::JavaRegex,
};

/// The result of a validation: everything that REST shows.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Keys with values and errors. Values are as they are written: references are not resolved.
    pub values: Values,
    /// The groups of the keys.
    pub groups: Vec<String>,
    /// What is allowed and probably not intended.
    pub warnings: Vec<String>,
}

/// A valid configuration, with references resolved.
#[derive(Clone)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// The values of all keys.
    pub values: Values,
    /// The converters and their prefixes.
    pub key_converter: ConverterConfig,
    /// As [`Self::key_converter`], of values.
    pub value_converter: ConverterConfig,
    /// `consumer.override.*`.
    pub consumer: Overrides,
    /// `topics.regex`.
    selector: Option<JavaRegex>,
    /// Which keys the user has set.
    given: BTreeSet<String>,
}

/// A converter with its keys.
#[derive(Clone)]
pub struct ConverterConfig {
    /// Its class.
    pub class: String,
    /// Its keys, without the name of the part.
    pub values: Values,
}

/// What a connector takes from its worker.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// `key.converter` and its keys, without that prefix. The class has the empty name.
    pub key_converter: Config,
    /// `value.converter`, in the same way.
    pub value_converter: Config,
    /// Where references are resolved.
    pub providers: Providers,
}

/// What Connect uses for headers if nothing is configured.
const HEADER_CONVERTER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

impl Defaults {
    /// The class of the worker's converter, for a connector without one of its own.
    fn class(&self, key: &str) -> Option<String> {
        match key {
            "key.converter" => self.key_converter.get("").cloned(),
            "value.converter" => self.value_converter.get("").cloned(),
            "header.converter" => Some(HEADER_CONVERTER.to_owned()),
            _ => None,
        }
    }
}

/// Names of keys that a connector may have beside those that are defined.
const PREFIXES: [&str; 6] = [
    "transforms.",
    "predicates.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "consumer.override.",
];
/// Names that are wrong if they are not known: everything here is defined.
const OWN: [&str; 5] = ["aqueduct.", "cps.", "gcp.", "errors.", "aqueduct"];

/// Whether this is the name of the class that is run.
pub fn is_class(text: &str) -> bool {
    text == CLASS || text == converters::simple(CLASS) || text == "CloudPubSubSink"
}

/// Every key of the connector, for `/connector-plugins/{p}/config`.
pub fn keys() -> Vec<Key> {
    [keys::sink(), keys::common(), keys::privacy()].concat()
}

/// Validates a configuration.
///
/// The connector is returned only if there is no error.
pub fn validate(config: &Config, defaults: &Defaults) -> (Validation, Option<Connector>) {
    let mut resolved = Config::new();
    let mut unresolved = Vec::new();
    for (key, value) in config {
        match defaults.providers.resolve(value) {
            Ok(text) => drop(resolved.insert(key.clone(), text)),
            Err(error) => {
                unresolved.push((key.clone(), error.to_string()));
                resolved.insert(key.clone(), value.clone());
            }
        }
    }
    let mut values = Values::of(&keys::common(), &resolved);
    let groups = ["Common", "Transforms", "Predicates", "Error Handling", "Privacy"];
    let mut groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
    chain::add(&mut values, &resolved, &mut groups);
    let key_converter = converter(&mut values, &resolved, "key.converter", &defaults.key_converter);
    let value_converter = converter(&mut values, &resolved, "value.converter", &defaults.value_converter);
    values.add(&keys::sink(), &resolved, "");
    values.add(&keys::privacy(), &resolved, "");
    check_topics(&mut values);
    check_headers(&mut values);
    let consumer = overrides(&mut values, &resolved);
    let mut warnings = Vec::new();
    check_names(&mut values, &resolved, &mut warnings);
    for (key, error) in unresolved {
        values.note(&key, error);
    }
    let is_sound = values.is_valid();
    if is_sound {
        chain::try_to_build(&mut values);
    }
    privacy::check(&mut values, is_sound, &mut warnings);
    let connector = match (values.is_valid(), key_converter, value_converter) {
        (true, Some(key_converter), Some(value_converter)) => Some(Connector {
            // As it is: a space at its end would make its group that of another connector.
            name: values.text("name").unwrap_or_default().to_owned(),
            selector: selector(&values),
            values: values.clone(),
            key_converter,
            value_converter,
            consumer,
            given: config.keys().cloned().collect(),
        }),
        _ => None,
    };
    for (key, value) in &mut values.all {
        let written = config.get(&value.name).filter(|written| resolved.get(&value.name) != Some(*written));
        if let Some(written) = written.filter(|_| !value.errors.is_empty()) {
            // An error may quote the resolved value, which can be a secret.
            value.errors = vec![format!("Invalid value {written} for configuration {}", value.name)];
        }
        match config.get(&value.name) {
            // As Connect shows it.
            Some(_) if resolved.get(&value.name).is_some_and(|text| !key.parses(text)) => value.value = None,
            Some(written) => value.value = Some(written.clone()),
            None => value.value = value.value.take().or_else(|| defaults.class(&value.name)),
        }
    }
    (Validation { values, groups, warnings }, connector)
}

/// Checks a converter, the worker's if the connector has none, and returns it.
fn converter(values: &mut Values, config: &Config, key: &str, worker: &Config) -> Option<ConverterConfig> {
    let prefix = format!("{key}.");
    let part = if key == "key.converter" { Part::Key } else { Part::Value };
    let own = config.get(key);
    let class = own.or_else(|| worker.get("")).map(String::as_str).unwrap_or_default();
    let Some(plugin) = converters::find(class) else {
        let problem = match converters::instead(class) {
            Some(instead) => format!("Invalid value {class} for configuration {key}: {instead}"),
            None => {
                format!("Invalid value {class} for configuration {key}: Class {class} could not be found.")
            }
        };
        values.note(key, problem);
        return None;
    };
    let config: Config = match own {
        Some(_) => config
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())))
            .filter(|(name, _)| name != "plugin.version")
            .collect(),
        None => {
            worker.iter().filter(|(name, _)| !name.is_empty()).map(|(k, v)| (k.clone(), v.clone())).collect()
        }
    };
    let keys = (plugin.keys)();
    let unknown: Vec<&String> =
        config.keys().filter(|name| keys.iter().all(|key| key.name != **name)).collect();
    for name in unknown {
        values.note(
            &format!("{prefix}{name}"),
            format!("Unknown configuration {prefix}{name} of {class}; remove it"),
        );
    }
    let checked = Values::of(&keys, &config);
    for (definition, value) in &checked.all {
        for error in &value.errors {
            values.note(&format!("{prefix}{}", definition.name), error.clone());
        }
    }
    if checked.is_valid()
        && let Err((name, problem)) = (plugin.build)(&checked, part)
    {
        values.note(&format!("{prefix}{name}"), problem);
    }
    Some(ConverterConfig { class: class.to_owned(), values: checked })
}

fn check_topics(values: &mut Values) {
    let topics = values.list("topics");
    let regex = values.text("topics.regex").unwrap_or_default().to_owned();
    let problem = match (topics.is_empty(), regex.is_empty()) {
        (true, true) => Some("Must configure one of topics or topics.regex"),
        (false, false) => Some("topics and topics.regex are mutually exclusive options, but both are set."),
        _ => None,
    };
    if let Some(problem) = problem {
        values.note("topics", problem);
        values.note("topics.regex", problem);
    }
    let dead = values.text("errors.deadletterqueue.topic.name").unwrap_or_default().trim().to_owned();
    if dead.is_empty() {
        return;
    }
    if topics.contains(&dead) {
        let list = topics.join(", ");
        let problem = format!(
            "The DLQ topic '{dead}' may not be included in the list of topics ('topics=[{list}]') consumed by the connector"
        );
        values.note("topics", problem);
    } else if !regex.is_empty() && JavaRegex::new(&regex).is_ok_and(|regex| regex.matches(&dead)) {
        let problem = format!(
            "The DLQ topic '{dead}' may not be included in the regex matching the topics ('topics.regex={regex}') consumed by the connector"
        );
        values.note("topics.regex", problem);
    }
}

fn selector(values: &Values) -> Option<JavaRegex> {
    let text = values.text("topics.regex").filter(|text| !text.is_empty())?;
    JavaRegex::new(text).ok()
}

/// Header values are published as the text that they are.
fn check_headers(values: &mut Values) {
    let class = values.text("header.converter").unwrap_or_default().to_owned();
    if !converters::of_headers(&class) {
        values.note("header.converter", format!(
            "Invalid value {class} for configuration header.converter: headers are published as text; remove the key"
        ));
    }
}

fn overrides(values: &mut Values, config: &Config) -> Overrides {
    const PREFIX: &str = "consumer.override.";
    let given = config.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str())));
    let (overrides, problems) = client_properties::of_java(given);
    for (key, problem) in problems {
        values.note(&format!("{PREFIX}{key}"), problem);
    }
    overrides
}

/// A misspelled key of ours is an error. Connect ignores other unknown keys, and so they are warnings.
fn check_names(values: &mut Values, config: &Config, warnings: &mut Vec<String>) {
    let known: BTreeSet<String> = values.all.iter().map(|(key, _)| key.name.to_string()).collect();
    for name in config.keys().filter(|name| !known.contains(*name)) {
        if PREFIXES[2..].iter().any(|prefix| name.starts_with(prefix)) {
            let of = |class: &&str| name.strip_prefix(class).is_some_and(|rest| rest.starts_with('.'));
            let class = ["key.converter", "value.converter"].into_iter().find(of);
            if let Some(class) = class.filter(|class| !config.contains_key(*class)) {
                warnings.push(format!("{name} has no effect without {class}, as in Connect"));
            }
            continue;
        }
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = service::settings::hint(name, &names, "keys");
        let is_error = PREFIXES[..2].iter().chain(&OWN).any(|prefix| name.starts_with(prefix));
        if name.starts_with("producer.override.") || name.starts_with("admin.override.") {
            values.note(
                name,
                format!("{name} has no effect: dead letters are written with consumer.override.*; remove it"),
            );
        } else if is_error {
            values.note(name, format!("Unknown configuration {name}; {hint}"));
        } else {
            warnings.push(format!("unknown key {name} is ignored, as Connect ignores it; {hint}"));
        }
    }
}

impl Connector {
    /// Whether the user has set a key.
    pub fn has(&self, key: &str) -> bool {
        self.given.contains(key)
    }

    /// The topics; empty if an expression selects them.
    pub fn topics(&self) -> Vec<String> {
        self.values.list("topics")
    }

    /// Whether an expression selects this topic.
    pub fn selects(&self, topic: &str) -> bool {
        self.selector.as_ref().is_some_and(|regex| regex.matches(topic))
    }

    /// Whether records that cannot be published are skipped.
    pub fn skips_errors(&self) -> bool {
        self.values.text("errors.tolerance") == Some("all")
    }

    /// The transforms.
    ///
    /// # Errors
    /// If a file that they need has changed since the validation.
    pub fn steps(&self) -> Result<Vec<Step>, String> {
        chain::build(&self.values).map_err(|(_, problem)| problem)
    }
}
