//! A long outage: what was held back is counted when it was, and nothing of it is late.

use anyhow::Result;
use tests::{kafka::Producer, produced::Produced, recount::recount, traffic::Traffic, wait};

use crate::{brought_to_an_end, prepared};

#[test]
fn after_twenty_hours_nothing_is_late() -> Result<()> {
    let pipe = prepared("outage", 3)?;
    // Whatever is taken for late is dropped, and the rows show it.
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"0s\"")?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) =
        (Traffic::new(3_600, 3).over_hours(20).with_trouble(), Produced::default());

    // The first half hour is carried as it comes.
    producer.produce(traffic.by_ref().take(90), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the first rows", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? > 80).then_some(()))
    })?;

    // Ten hours lie in Kafka while the connector is away, and then in Pub/Sub while the processor is.
    connector.stop()?;
    processor.stop()?;
    producer.produce(traffic.by_ref().take(1_800), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    wait::until("the backlog to be in Pub/Sub", || {
        Ok((connector.metric("aqueduct_connector_records_total", "published")? > 1_700).then_some(()))
    })?;
    connector.stop()?;

    // The rest lies in Kafka when both come back, each partition at another place.
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor).map(drop)
}
