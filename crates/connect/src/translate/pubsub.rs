//! The keys of the sink as `[pubsub]`.

use super::{Draft, given, is_true, note, string};
use crate::{connector::ENDPOINT, define::Config};

pub(super) fn pubsub(connector: &Config, draft: &mut Draft) {
    for (key, ours) in [("cps.project", "project"), ("cps.topic", "topic")] {
        let value = given(connector, key);
        if value.is_none() {
            note(draft, key, "is missing");
        }
        draft.pubsub.push((ours.to_owned(), string(value.unwrap_or("set-me"))));
    }
    let endpoint = given(connector, "cps.endpoint").filter(|endpoint| *endpoint != ENDPOINT);
    match (is_true(connector, "cps.useEmulator"), endpoint) {
        (true, Some(host)) => draft.pubsub.push(("emulator_host".to_owned(), string(host))),
        (true, None) => note(
            draft,
            "cps.useEmulator",
            "PUBSUB_EMULATOR_HOST, or [pubsub] emulator_host, names the emulator",
        ),
        (false, Some(_)) => {
            note(draft, "cps.endpoint", "is not configurable; the client uses Google's global endpoint");
        }
        (false, None) => {}
    }
    if let Some(bytes) =
        given(connector, "maxOutstandingRequestBytes").and_then(|text| text.parse::<u64>().ok())
        && bytes < 1 << 40
    {
        let mebibytes = (bytes >> 20).max(1);
        draft.pubsub.push(("in_flight".to_owned(), string(format!("{mebibytes}MiB"))));
    }
    for key in ["gcp.credentials.file.path", "gcp.sa.credentials.file.path"] {
        if let Some(path) = given(connector, key) {
            note(draft, key, &format!("set GOOGLE_APPLICATION_CREDENTIALS={path}"));
        }
    }
    for key in ["gcp.credentials.json", "gcp.sa.credentials.json"] {
        if given(connector, key).is_some() {
            note(
                draft,
                key,
                "write the credentials to a file, and set GOOGLE_APPLICATION_CREDENTIALS to its path",
            );
        }
    }
    match given(connector, "orderingKeySource") {
        Some("key") => note(
            draft,
            "orderingKeySource=key",
            "an ordering key is a field of the event here; set [pubsub] ordering_key to the pointer of the field that is the Kafka key",
        ),
        Some("partition") => note(
            draft,
            "orderingKeySource=partition",
            "is not needed by the processor, which orders by offset; set [pubsub] ordering_key to a field if other subscribers need an order",
        ),
        _ => {}
    }
    if !is_true(connector, "metadata.publish") {
        note(
            draft,
            "metadata.publish",
            "messages always have the attributes kafka.topic, kafka.partition, kafka.offset and kafka.timestamp: the processor counts by them",
        );
    }
    if is_true(connector, "enableCompression") {
        note(
            draft,
            "enableCompression",
            "has no counterpart for single messages; [pubsub] pack = true compresses many records into one, for topics that only Aqueduct reads",
        );
    }
    let batching = [
        "maxBufferSize",
        "maxBufferBytes",
        "maxOutstandingMessages",
        "delayThresholdMs",
        "maxRequestTimeoutMs",
        "maxTotalTimeoutMs",
        "maxShutdownTimeoutMs",
    ];
    let set: Vec<&str> = batching.into_iter().filter(|key| connector.contains_key(*key)).collect();
    if !set.is_empty() {
        note(draft, &set.join(", "), "batches and retries need no configuration");
    }
}
