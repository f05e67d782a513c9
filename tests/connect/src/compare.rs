//! Whether both sides agree, but for the differences that docs/connect.md lists.

use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::ours;

/// How often each outcome occurred, so that a test without any of one is noticed.
#[derive(Default)]
pub(crate) struct Counts {
    properties: u64,
    invalid: u64,
    refused: u64,
    dropped: u64,
    values: u64,
    with_attributes: u64,
    not_sent: u64,
}

impl Counts {
    /// Fails if too few cases reached the end.
    pub(crate) fn check(&self) -> Result<()> {
        let all = [
            self.properties,
            self.invalid,
            self.refused,
            self.dropped,
            self.values,
            self.with_attributes,
            self.not_sent,
        ];
        ensure!(all.iter().all(|count| *count > 0), "no case of one kind: {self}");
        Ok(())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} properties files, {} invalid configurations, {} refused records, {} dropped, {} values, {} of them with attributes, {} that the sink cannot send",
            self.properties,
            self.invalid,
            self.refused,
            self.dropped,
            self.values,
            self.with_attributes,
            self.not_sent
        )
    }
}

pub(crate) fn check(case: &Value, original: &Value, counts: &mut Counts) -> Result<()> {
    let ours = ours::answer(case);
    if case.get("properties").is_some() {
        counts.properties += 1;
        ensure!(ours == *original, "other properties: {ours}");
        return Ok(());
    }
    ensure!(ours["error"] == original["error"], "another outcome: {ours}");
    match original["error"].as_str() {
        Some("config") => counts.invalid += 1,
        Some(_) => counts.refused += 1,
        None => {}
    }
    if !original["error"].is_null() {
        return Ok(());
    }
    ensure!(ours["dropped"] == original["dropped"], "dropped by one side: {ours}");
    if original["dropped"] == true {
        counts.dropped += 1;
        return Ok(());
    }
    counts.values += 1;
    for key in ["topic", "key", "value"] {
        ensure!(is_equal(&ours[key], &original[key]), "another {key}: {ours}");
    }
    // A part without a value has a schema in one converter and none in another, which no one sees.
    ensure!(
        original["value"].is_null() || ours["value.schema"] == original["value.schema"],
        "another schema: {ours}"
    );
    if original["value.schema"] == true {
        ensure!(ours["message"] == original["message"], "another message: {ours}");
        if !original["message"].is_null() {
            counts.not_sent += 1;
            return Ok(());
        }
        // Google's sink reads the bytes of a number from the wrong end of its buffer, and sends none.
        let is_number = original["value"].is_number() || original["value"]["cps_message_body"].is_number();
        let is_lost = is_number && original["data"] == "";
        ensure!(is_lost || ours["data"] == original["data"], "other data: {ours}");
        counts.with_attributes +=
            u64::from(original["attributes"].as_object().is_some_and(|all| !all.is_empty()));
        attributes(&ours["attributes"], &original["attributes"])?;
    }
    Ok(())
}

/// Times are those of Java's `Date.toString`, and here those of ISO 8601. Bytes are no text in Java, and here base64.
fn attributes(ours: &Value, original: &Value) -> Result<()> {
    let (Some(ours), Some(original)) = (ours.as_object(), original.as_object()) else {
        anyhow::bail!("no attributes");
    };
    ensure!(ours.len() == original.len(), "other attributes: {ours:?}");
    for (name, text) in original {
        let is_listed =
            text.as_str().is_some_and(|text| text.contains(" UTC ") || text.contains("ByteBuffer["));
        let found = ours.get(name);
        ensure!(found == Some(text) || (is_listed && found.is_some()), "another attribute {name}: {ours:?}");
    }
    Ok(())
}

/// Equal JSON; a number without a schema is a double on one side, and the text that it was on the other.
fn is_equal(ours: &Value, original: &Value) -> bool {
    match (ours, original) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|b| is_equal(value, b)))
        }
        _ => ours == original,
    }
}
