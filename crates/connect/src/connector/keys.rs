//! The keys of a connector: those that Connect has for every sink, those of Google's sink, and our own.

use crate::{
    define::{Importance, Key, Kind},
    transforms::JavaRegex,
};

/// The class that is run.
pub const CLASS: &str = "com.google.pubsub.kafka.sink.CloudPubSubSinkConnector";
/// The version of Google's sink whose keys these are.
pub const VERSION: &str = "1.3.3";
/// The version of Kafka whose keys and interface these are.
pub const KAFKA_VERSION: &str = "4.4.0";
/// What is behind [`CLASS`] if no endpoint is configured.
pub const ENDPOINT: &str = "pubsub.googleapis.com:443";

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";
const PRIVACY: &str = "Privacy";

/// The keys of every sink.
pub(super) fn common() -> Vec<Key> {
    let list = |name: &'static str, group: &'static str, order, title: &'static str| {
        let key = Key::new(name, Kind::List).with_default("").importance(Importance::Low);
        key.group(group, order, "LONG", title)
    };
    let converter = |name: &'static str, order, title: &'static str| {
        let key = Key::new(name, Kind::Class).optional().importance(Importance::Low);
        key.group(COMMON, order, "SHORT", title).doc("Class of the converter; the worker's if it is not set.")
    };
    let version = |name: &'static str, order, title: &'static str| {
        let key = Key::new(name, Kind::String).optional().importance(Importance::Low);
        let key = key.group(COMMON, order, "SHORT", title).custom(not_supported_version);
        key.doc("Version of the converter. There is one of each here, so that the key cannot be set.")
    };
    vec![
        Key::new("name", Kind::String)
            .importance(Importance::High)
            .group(COMMON, 1, "MEDIUM", "Connector name")
            .custom(check_name)
            .doc("Name of the connector. Its consumer group is connect-<name>."),
        Key::new("connector.class", Kind::String)
            .importance(Importance::High)
            .group(COMMON, 2, "LONG", "Connector class")
            .doc("Class of the connector, in full or without its package."),
        Key::new("connector.plugin.version", Kind::String)
            .with_default(VERSION)
            .one_of(&[VERSION])
            .group(COMMON, 3, "MEDIUM", "Connector version")
            .doc("Version of Google's sink whose behaviour is expected."),
        Key::new("tasks.max", Kind::Int)
            .with_default("1")
            .at_least(1)
            .importance(Importance::High)
            .group(COMMON, 4, "SHORT", "Tasks max")
            .doc("Number of tasks. A worker runs one, so that more tasks than workers have no effect."),
        Key::new("tasks.max.enforce", Kind::Boolean)
            .with_default("true")
            .importance(Importance::Low)
            .group(COMMON, 5, "SHORT", "Enforce tasks max")
            .doc("There are never more tasks than tasks.max."),
        converter("key.converter", 6, "Key converter class"),
        version("key.converter.plugin.version", 7, "Key converter version"),
        converter("value.converter", 8, "Value converter class"),
        version("value.converter.plugin.version", 9, "Value converter version"),
        converter("header.converter", 10, "Header converter class"),
        version("header.converter.plugin.version", 11, "Header converter version"),
        list("transforms", "Transforms", 12, "Transforms").doc("Names of the transforms, in their order."),
        list("predicates", "Predicates", 13, "Predicates").doc("Names of the predicates."),
        Key::new("config.action.reload", Kind::String)
            .with_default("restart")
            .one_of(&["restart", "none"])
            .importance(Importance::Low)
            .group(COMMON, 14, "MEDIUM", "Reload Action")
            .doc("The providers here have no values that expire, so that nothing is reloaded by itself."),
        Key::new("errors.retry.timeout", Kind::Long)
            .with_default("0")
            .group(ERRORS, 1, "MEDIUM", "Retry Timeout for Errors")
            .doc("Converters and transforms have no errors that another attempt could avoid."),
        Key::new("errors.retry.delay.max.ms", Kind::Long)
            .with_default("60000")
            .group(ERRORS, 2, "MEDIUM", "Maximum Delay Between Retries for Errors")
            .doc("See errors.retry.timeout."),
        Key::new("errors.tolerance", Kind::String)
            .with_default("none")
            .one_of(&["none", "all"])
            .group(ERRORS, 3, "SHORT", "Error Tolerance")
            .doc("none: a record that cannot be published ends the task. all: it is counted and skipped."),
        Key::new("errors.log.enable", Kind::Boolean)
            .with_default("false")
            .group(ERRORS, 4, "SHORT", "Log Errors")
            .doc("Whether each skipped record is logged, with its position and without its content."),
        Key::new("errors.log.include.messages", Kind::Boolean)
            .with_default("false")
            .group(ERRORS, 5, "SHORT", "Log Error Details")
            .doc("Of a sink's records only position and timestamp are logged, as in Connect."),
        Key::new("topics", Kind::List)
            .with_default("")
            .unique()
            .importance(Importance::High)
            .group(COMMON, 4, "LONG", "Topics")
            .doc("Topics to read."),
        Key::new("topics.regex", Kind::String)
            .with_default("")
            .importance(Importance::High)
            .custom(|text| if text.is_empty() { Ok(()) } else { JavaRegex::new(text).map(drop) })
            .group(COMMON, 4, "LONG", "Topics regex")
            .doc("Expression for the topics to read. Either this or topics."),
        Key::new("errors.deadletterqueue.topic.name", Kind::String)
            .with_default("")
            .group(ERRORS, 6, "MEDIUM", "Dead Letter Queue Topic Name")
            .doc("Topic for records that errors.tolerance=all skips: their position and the reason, see aqueduct.deadletters."),
        Key::new("errors.deadletterqueue.topic.replication.factor", Kind::Short)
            .with_default("3")
            .group(ERRORS, 7, "MEDIUM", "Dead Letter Queue Topic Replication Factor")
            .doc("Replicas of that topic, if it is created."),
        Key::new("errors.deadletterqueue.context.headers.enable", Kind::Boolean)
            .with_default("false")
            .group(ERRORS, 8, "MEDIUM", "Enable Error Context Headers")
            .doc("Whether a dead letter with a payload has headers with the position and the reason. Without a payload it always has."),
    ]
}

/// The keys of Google's sink, in its order.
pub(super) fn sink() -> Vec<Key> {
    let number = |name: &'static str, kind, default: &'static str, doc: &'static str| {
        Key::new(name, kind).with_default(default).doc(doc)
    };
    let credentials = |name: &'static str, doc: &'static str| {
        Key::new(name, Kind::String).with_default("").importance(Importance::High).doc(doc)
    };
    let most = i64::from(i32::MAX);
    vec![
        Key::new("cps.project", Kind::String).importance(Importance::High).custom(check_id).doc("Project of the Pub/Sub topic."),
        Key::new("cps.topic", Kind::String).importance(Importance::High).custom(check_id).doc("Pub/Sub topic to publish to."),
        number("maxBufferSize", Kind::Int, "100", "Most messages in a request; 1,000 if it is not set.")
            .at_least(1)
            .at_most(most),
        number("maxBufferBytes", Kind::Long, "9500000", "Most bytes of messages in a request.")
            .at_least(1)
            .at_most(9_500_000),
        number(
            "maxOutstandingRequestBytes",
            Kind::Long,
            "9223372036854775807",
            "Bytes that may be published and not acknowledged yet; at most 16 MiB here.",
        ),
        number(
            "maxOutstandingMessages",
            Kind::Long,
            "9223372036854775807",
            "Messages that may be published and not acknowledged yet, in whole requests.",
        ),
        number("delayThresholdMs", Kind::Int, "100", "How long the first message of a request waits for others; 10 ms if it is not set.")
            .at_least(1)
            .at_most(most),
        number("maxRequestTimeoutMs", Kind::Int, "10000", "How long one request may take.").at_least(10_000).at_most(most),
        number("maxTotalTimeoutMs", Kind::Int, "60000", "How long publishing may fail before it is logged as an error. It is retried for as long as it takes.")
            .at_least(10_000)
            .at_most(most),
        number("maxShutdownTimeoutMs", Kind::Int, "60000", "How long a task that stops may publish what it has read; at most 15 s here.")
            .at_least(10_000)
            .at_most(most),
        number("metadata.publish", Kind::Boolean, "false", "Whether topic, partition, offset and timestamp become attributes."),
        number("headers.publish", Kind::Boolean, "false", "Whether headers become attributes: those that aqueduct.headers names."),
        Key::new("messageBodyName", Kind::String)
            .with_default("cps_message_body")
            .doc("The field of a struct or map that becomes the data of the message. The other fields become attributes."),
        credentials("gcp.credentials.file.path", "File with the credentials of a service account."),
        credentials("gcp.sa.credentials.file.path", "The same. It wins over the older key."),
        credentials("gcp.credentials.json", "The credentials of a service account."),
        credentials("gcp.sa.credentials.json", "The same. It wins over the older key."),
        Key::new("orderingKeySource", Kind::String)
            .with_default("none")
            .custom(check_ordering)
            .doc("What the ordering key is: none, key or partition. key needs aqueduct.key."),
        number("enableCompression", Kind::Boolean, "false", "Whether requests are compressed with gzip on their way. The messages are the same."),
        number("compressionBytesThreshold", Kind::Long, "240", "From how many bytes on a request is compressed, with enableCompression."),
        Key::new("cps.endpoint", Kind::String)
            .with_default(ENDPOINT)
            .importance(Importance::Low)
            .doc("Host and port of Pub/Sub."),
        number("cps.useEmulator", Kind::Boolean, "false", "Whether PUBSUB_EMULATOR_HOST, or cps.endpoint, is an emulator.")
            .importance(Importance::Low),
    ]
}

/// Our own keys.
pub(super) fn privacy() -> Vec<Key> {
    let key = |name: &'static str, order, title: &'static str| {
        Key::new(name, Kind::String).importance(Importance::High).group(PRIVACY, order, "MEDIUM", title)
    };
    vec![
        key("aqueduct.forward", 1, "Forward")
            .optional()
            .one_of(&["all"])
            .doc("all: publishes values without any transform that removes or replaces personal data."),
        key("aqueduct.key", 2, "Kafka key")
            .with_default("drop")
            .one_of(&["drop", "pseudonymise", "forward"])
            .doc("How the Kafka key is published, which the sink publishes as attribute `key` and as ordering key."),
        key("aqueduct.hash", 3, "Hash")
            .with_default("compatible")
            .one_of(&["compatible", "hmac"])
            .doc("compatible: the transform Hash makes plain digests, which a list of values reveals. hmac: pseudonyms."),
        key("aqueduct.keyring", 4, "Keyring")
            .optional()
            .doc("File with the secrets of pseudonyms, from `aqueduct keys new`."),
        Key::new("aqueduct.headers", Kind::List)
            .with_default("")
            .importance(Importance::High)
            .group(PRIVACY, 5, "LONG", "Headers")
            .doc("Names of the headers that headers.publish publishes; * for all."),
        key("aqueduct.deadletters", 6, "Dead letters")
            .with_default("position")
            .one_of(&["position", "payload"])
            .doc("position: a dead letter has the position of the record and the reason. payload: it has the record itself, too."),
    ]
}

/// Kafka's rules for the name of a connector, with its messages.
fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err(format!("Invalid value {} for configuration name: String may not be empty", name.trim()));
    }
    let controls: Vec<String> =
        name.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string()).collect();
    if controls.is_empty() {
        return Ok(());
    }
    let controls = controls.join(", ");
    Err(format!(
        "Invalid value {name} for configuration name: String may not contain control sequences but had the following ASCII chars: {controls}"
    ))
}

/// Pub/Sub refuses every message to a wrong name, and each would be skipped as if the message were wrong.
fn check_id(text: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.~+%:".contains(c);
    match !text.is_empty() && text.chars().all(is_part) {
        true => Ok(()),
        false => Err(format!("Invalid value {text}: expected an ID, without projects/ and topics/")),
    }
}

fn check_ordering(text: &str) -> Result<(), String> {
    match text {
        "none" | "key" | "partition" => Ok(()),
        _ => Err("Valid values for orderingKeySource are [none, key, partition]".to_owned()),
    }
}

/// The version of a transform or predicate of this class.
pub(super) fn plugin_version(group: &str, class: Option<&String>) -> Key {
    let key = Key::new("plugin.version", Kind::String).importance(Importance::Medium);
    let key = key.group(group.to_owned(), 1, "MEDIUM", "Version");
    let key = key.doc("Version of the class. There is one of each here.");
    match class.is_some_and(|class| class.starts_with("org.apache.kafka.")) {
        true => key.with_default(KAFKA_VERSION).one_of(&[KAFKA_VERSION]),
        false => key.optional().custom(not_supported_version),
    }
}

fn not_supported_version(_: &str) -> Result<(), String> {
    Err("Versions of plugins cannot be selected here; remove the key".to_owned())
}
