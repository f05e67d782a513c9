//! What a configuration must say before personal data may pass.

use super::chain;
use crate::{
    converters::simple,
    define::Values,
    transforms::{self, Part},
};

/// Adds errors for what would publish personal data although the configuration does not say so, and warnings for what may.
///
/// `is_sound` is false if the transforms themselves have errors: then nothing can be said about them.
pub(super) fn check(values: &mut Values, is_sound: bool, warnings: &mut Vec<String>) {
    let key = values.text("aqueduct.key").unwrap_or("drop").to_owned();
    if values.text("orderingKeySource") == Some("key") && key == "drop" {
        values.note(
            "orderingKeySource",
            "orderingKeySource=key would publish the raw Kafka key; set aqueduct.key=pseudonymise with aqueduct.keyring, or aqueduct.key=forward",
        );
    }
    if key == "pseudonymise" {
        let options = chain::options(values, "", Part::Key);
        if let Err(problem) = transforms::keyring(&options) {
            values.note("aqueduct.key", format!("aqueduct.key=pseudonymise: {problem}"));
        }
    }
    if values.is_true("headers.publish") && values.list("aqueduct.headers").is_empty() {
        values.note(
            "headers.publish",
            "headers.publish=true would publish all headers unchanged; name those that may pass in aqueduct.headers, or write aqueduct.headers=*",
        );
    }
    if values.text("aqueduct.deadletters") == Some("payload") {
        if values.text("errors.deadletterqueue.topic.name").is_none_or(|topic| topic.trim().is_empty()) {
            values.note(
                "aqueduct.deadletters",
                "aqueduct.deadletters=payload needs errors.deadletterqueue.topic.name",
            );
        }
        warnings.push(
            "aqueduct.deadletters=payload: dead letters have key, value and headers as they are in Kafka"
                .to_owned(),
        );
    }
    if !is_sound {
        return;
    }
    let mut protects = false;
    for alias in chain::aliases(values, "transforms") {
        let class = values.text(&format!("transforms.{alias}.type")).unwrap_or_default();
        let Some(found) = transforms::find(class) else { continue };
        let options = chain::options(values, &alias, found.part);
        let does = (found.plugin.protects)(&options);
        protects |= does && found.part == Part::Value && chain::is_for_every_value(values, &alias);
        if simple(found.plugin.class) == "Hash" && !options.is_hmac {
            warnings.push(format!(
                "transforms.{alias}: a plain digest reveals the text to anyone with a list of possible values; set aqueduct.hash=hmac and aqueduct.keyring"
            ));
        }
    }
    if !protects && values.text("aqueduct.forward").is_none() {
        values.note(
            "aqueduct.forward",
            "no transform masks, hashes, drops or pseudonymises anything in the value of every record; add one without a predicate, for example aqueduct.Pseudonymise, or write aqueduct.forward=all",
        );
    }
}
