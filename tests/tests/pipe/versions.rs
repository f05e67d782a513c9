//! A connector that is newer than the processor: none of its messages is acknowledged.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::{
    pubsub::{self, Onlooker},
    traffic::Traffic,
    wait,
};

use crate::{carried, prepared, produced};

#[test]
fn a_newer_connector_stops_the_processor_and_loses_nothing() -> Result<()> {
    let pipe = prepared("newer", 2)?;
    let (_, recount) = produced(&pipe, Traffic::new(500, 2))?;
    let (data, marks) = (pipe.name().to_owned(), format!("{}-marks", pipe.name()));
    let subscriptions = [format!("{data}-ctr-marks"), format!("{data}-ctr")];
    let newer_mark = br#"{"version":3,"packs":[{"from":7,"to":9}]}"#;
    let newer_data = json!({"aqueduct.format": "pack-2", "kafka.topic": pipe.name()});
    for ((topic, content, attributes, error), subscription) in [
        (&marks, &newer_mark[..], &json!({}), "received a mark of version 3"),
        (&data, &b"packed"[..], &newer_data, "received a message with the unknown format \"pack-2\""),
    ]
    .into_iter()
    .zip(subscriptions)
    {
        pubsub::publish(topic, content, attributes)?;
        let ended = pipe.start(&["processor"])?.ended()?;
        ensure!(ended.code == Some(1), "{:?}: {}", ended.code, ended.err);
        ensure!(
            ended.err.contains(error) && ended.err.contains("upgrade the processor first"),
            "{}",
            ended.err
        );
        // The message is available to the upgraded processor, which this subscriber represents.
        let subscription = Onlooker::of(&subscription)?;
        wait::until("the message to be delivered again", || {
            let messages = subscription.some()?;
            Ok(messages
                .iter()
                .any(|message| pubsub::data(message).is_ok_and(|data| data == content))
                .then_some(()))
        })?;
    }
    carried(&pipe, &recount).map(drop)
}
