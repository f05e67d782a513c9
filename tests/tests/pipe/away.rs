//! Services that are unavailable at the start, and missing resources: the pipeline reports them, waits if that can
//! help, and loses nothing.

use anyhow::Result;
use tests::{
    kafka::{Producer, create_topic},
    pipe::{PROJECT, Pipe},
    produced::Produced,
    proxy::Proxy,
    recount::recount,
    services,
    traffic::Traffic,
    unaware::Unaware,
    wait,
};

use crate::{brought_to_an_end, prepared, produced};

/// How often a broker that has started answers without brokers, at most.
const ROUNDS: usize = 20;

#[test]
fn start_waits_for_services() -> Result<()> {
    let mut pipe = prepared("away", 1)?;
    let (_, recount) = produced(&pipe, Traffic::new(500, 1))?;
    let kafka = Proxy::closed(&services::address(services::KAFKA)?)?;
    let pubsub = Proxy::closed(&services::address(services::PUBSUB)?)?;
    pipe.set("kafka.bootstrap_servers", kafka.address());
    pipe.set("pubsub.emulator_host", pubsub.address());
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    processor.says("waiting for a service to become available")?;
    assert!(processor.err().contains("no response from Pub/Sub for"), "{}", processor.err());
    connector.says("Kafka is unreachable; retrying")?;
    assert!(connector.err().contains(kafka.address()), "{}", connector.err());
    kafka.open()?;
    connector.says("cannot publish to Pub/Sub; retrying")?;
    pubsub.open()?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor)?;
    assert!(connector.err().contains("publishing to Pub/Sub again"), "{}", connector.err());
    Ok(())
}

/// After such a response librdkafka drops every broker, including the configured ones. Whether it then requests
/// metadata again is a race, which it mostly wins: the response is repeated until it loses, or often enough.
#[test]
fn a_broker_without_metadata_is_found_again() -> Result<()> {
    let mut pipe = prepared("unaware", 2)?;
    let front = services::address(services::KAFKA_FRONT)?;
    let door = Unaware::open(&front, &services::address(services::KAFKA_BEHIND)?)?;
    pipe.set("kafka.bootstrap_servers", &front);
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(1_000, 2), Produced::default());
    producer.produce(traffic.by_ref().take(500), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    connector.says("reading")?;
    let said = |text: &str| connector.err().matches(text).count();
    let is_alone = || said("a broker returned metadata without any broker") > 0;
    for _ in 0..ROUNDS {
        let (before, answers) = (door.without_brokers(), said("Kafka is reachable again"));
        door.forget(true);
        wait::until("answers without brokers", || {
            Ok((door.without_brokers() > before + 4 || is_alone()).then_some(()))
        })?;
        door.forget(false);
        wait::until("an answer with one", || {
            Ok((said("Kafka is reachable again") > answers || is_alone()).then_some(()))
        })?;
        if is_alone() {
            break;
        }
    }
    producer.produce(traffic, &mut produced)?;
    brought_to_an_end(&pipe, &recount(&produced)?, &mut connector, &mut processor)?;
    Ok(())
}

#[test]
fn a_waiting_process_can_be_stopped() -> Result<()> {
    let nowhere = Proxy::closed("nowhere")?;
    let pipe = Pipe::new("waiting")?
        .with("kafka.bootstrap_servers", nowhere.address())
        .with("pubsub.emulator_host", nowhere.address());
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    processor.says("waiting for a service")?;
    connector.says("Kafka is unreachable")?;
    processor.stop()?;
    connector.stop()?;
    Ok(())
}

#[test]
fn a_missing_topic_is_named() -> Result<()> {
    let pipe = Pipe::new("no-topic")?;
    pipe.run_well(&["setup"])?;
    let ended = pipe.run(&["connector"])?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(pipe.name()), "{}", ended.err);
    let generated = pipe.run(&["generate", "--events", "1"])?;
    assert_eq!(generated.code, Some(1));
    assert!(generated.err.contains(pipe.name()), "{}", generated.err);
    Ok(())
}

#[test]
fn without_setup_the_next_step_is_named() -> Result<()> {
    let pipe = Pipe::new("no-setup")?;
    create_topic(pipe.name(), 1, &[])?;
    produced(&pipe, Traffic::new(10, 1))?;
    for (command, kind, name) in [
        ("connector", "topics", pipe.name().to_owned()),
        ("processor", "subscriptions", format!("{}-ctr", pipe.name())),
    ] {
        let ended = pipe.run(&[command])?;
        assert_eq!(ended.code, Some(1), "{command}: {}", ended.err);
        let path = format!("projects/{PROJECT}/{kind}/{name}");
        assert!(ended.err.contains(&path), "{command}: {}", ended.err);
        assert!(ended.err.contains("aqueduct setup"), "{command}: {}", ended.err);
    }
    Ok(())
}
