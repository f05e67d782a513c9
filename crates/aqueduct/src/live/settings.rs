//! The configuration in force, for the page, without secrets.

use report::status::Setting;

use crate::config::Config;

/// Properties of librdkafka that contain no secret. For all others the page shows only that they are set.
const PUBLIC: [&str; 7] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "client.id",
    "client.rack",
    "isolation.level",
    "partition.assignment.strategy",
];
/// Suffixes of the names of properties that are durations or sizes.
const NUMBERS: [&str; 4] = [".ms", ".bytes", ".kbytes", ".messages"];

/// Every value that the file and the environment set.
pub(crate) fn settings(config: &Config) -> Vec<Setting> {
    let file = config.settings().path().file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_default();
    let setting = |shown: service::settings::Shown| Setting {
        from: match (shown.line, shown.variable) {
            (Some(line), _) => format!("{file}:{line}"),
            (None, Some(variable)) => variable,
            (None, None) => file.clone(),
        },
        key: shown.key,
        value: shown.value,
    };
    config.settings().shown(&is_public).into_iter().map(setting).collect()
}

fn is_public(key: &str) -> bool {
    let Some(property) = key.strip_prefix("kafka.properties.") else { return true };
    let property = property.trim_matches('"');
    PUBLIC.contains(&property) || NUMBERS.iter().any(|end| property.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_properties_are_hidden() {
        for (key, expected) in [
            ("kafka.group_id", true),
            ("kafka.properties.\"session.timeout.ms\"", true),
            ("kafka.properties.\"security.protocol\"", true),
            ("kafka.properties.\"sasl.password\"", false),
            ("kafka.properties.\"ssl.key.pem\"", false),
            ("kafka.properties.\"sasl.oauthbearer.config\"", false),
        ] {
            assert_eq!(is_public(key), expected, "{key}");
        }
    }
}
