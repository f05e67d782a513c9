//! Google's Pub/Sub emulator over REST: the subscription of an observer.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::{http, pipe::PROJECT, services};

/// Receives every message of a topic from now on.
pub struct Onlooker {
    host: String,
    path: String,
}

impl Onlooker {
    /// Subscribes to a topic.
    ///
    /// # Errors
    /// The topic does not exist.
    pub fn subscribe(topic: &str) -> Result<Self> {
        Self::with(topic, false)
    }

    /// As [`subscribe`](Self::subscribe), with message ordering.
    ///
    /// # Errors
    /// The topic does not exist.
    pub fn ordered(topic: &str) -> Result<Self> {
        Self::with(topic, true)
    }

    fn with(topic: &str, is_ordered: bool) -> Result<Self> {
        let host = services::address(services::PUBSUB)?;
        let path = format!("/v1/projects/{PROJECT}/subscriptions/{topic}-onlooker");
        let body = json!({
            "topic": format!("projects/{PROJECT}/topics/{topic}"), "ackDeadlineSeconds": 600,
            "enableMessageOrdering": is_ordered,
        });
        http::request(&host, "PUT", &path, Some(&body))?;
        Ok(Self { host, path })
    }

    /// Uses an existing subscription: its owner does not receive the messages that are pulled.
    ///
    /// # Errors
    /// The emulator was not started.
    pub fn of(subscription: &str) -> Result<Self> {
        let path = format!("/v1/projects/{PROJECT}/subscriptions/{subscription}");
        Ok(Self { host: services::address(services::PUBSUB)?, path })
    }

    /// All available messages, each as the JSON of its data (base64) and attributes.
    ///
    /// # Errors
    /// The emulator rejects the request.
    pub fn messages(&self) -> Result<Vec<Value>> {
        let mut messages = Vec::new();
        loop {
            let some = self.some()?;
            if some.is_empty() {
                return Ok(messages);
            }
            messages.extend(some);
        }
    }

    /// The messages of one pull, acknowledged; empty if there are none.
    ///
    /// # Errors
    /// The emulator rejects the request.
    pub fn some(&self) -> Result<Vec<Value>> {
        let body = json!({"maxMessages": 1000, "returnImmediately": true});
        let answer = http::json(&self.host, "POST", &format!("{}:pull", self.path), Some(&body))?;
        let Some(received) = answer["receivedMessages"].as_array().filter(|list| !list.is_empty()) else {
            return Ok(Vec::new());
        };
        let ids: Vec<&Value> = received.iter().map(|message| &message["ackId"]).collect();
        let path = format!("{}:acknowledge", self.path);
        http::request(&self.host, "POST", &path, Some(&json!({"ackIds": ids})))?;
        Ok(received.iter().map(|message| message["message"].clone()).collect())
    }

    /// Seeks back to a time (RFC 3339), so that all messages since then are redelivered.
    ///
    /// # Errors
    /// The emulator rejects the request.
    pub fn seek(&self, time: &str) -> Result<()> {
        let path = format!("{}:seek", self.path);
        http::request(&self.host, "POST", &path, Some(&json!({"time": time}))).map(drop)
    }
}

/// Publishes one message.
///
/// # Errors
/// The topic does not exist, or the emulator rejects the request.
pub fn publish(topic: &str, data: &[u8], attributes: &Value) -> Result<()> {
    let path = format!("/v1/projects/{PROJECT}/topics/{topic}:publish");
    let data = base64::engine::general_purpose::STANDARD.encode(data);
    let body = json!({"messages": [{"data": data, "attributes": attributes}]});
    http::request(&services::address(services::PUBSUB)?, "POST", &path, Some(&body)).map(drop)
}

/// The bytes of a message's data.
///
/// # Errors
/// It is not base64.
pub fn data(message: &Value) -> Result<Vec<u8>> {
    let text = message["data"].as_str().context("a message has data")?;
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0u32;
        for &letter in group {
            bits = bits << 6 | sextet(letter).context("data is base64")?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Ok(bytes)
}

fn sextet(letter: u8) -> Option<u32> {
    match letter {
        b'A'..=b'Z' => Some(u32::from(letter - b'A')),
        b'a'..=b'z' => Some(u32::from(letter - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(letter - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
