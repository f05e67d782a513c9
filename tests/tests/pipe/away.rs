//! Services that are away at first, and things that do not exist: the pipe says what is missing, waits where waiting is
//! right, and loses nothing.

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
    processor.says("waiting for a service; the processor starts when it is available")?;
    assert!(processor.err().contains("Pub/Sub does not answer for"), "{}", processor.err());
    connector.says("Kafka does not answer; trying until it does")?;
    assert!(connector.err().contains(kafka.address()), "{}", connector.err());
    kafka.open()?;
    connector.says("Pub/Sub does not take messages; trying until it does")?;
    pubsub.open()?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor)?;
    assert!(connector.err().contains("Pub/Sub takes messages again"), "{}", connector.err());
    Ok(())
}

/// With such an answer librdkafka lets every broker go, the configured ones too. Whether it then asks somebody again is
/// a race of its own, so that it is told until it does not.
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
    let is_alone = || said("a broker named no broker") > 0;
    wait::until("a client without brokers", || {
        let (told, answers) = (door.told(), said("Kafka answers again"));
        door.forget(true);
        wait::until("answers without brokers", || Ok((door.told() > told + 4 || is_alone()).then_some(())))?;
        door.forget(false);
        wait::until("an answer with one", || {
            Ok((said("Kafka answers again") > answers || is_alone()).then_some(()))
        })?;
        Ok(is_alone().then_some(()))
    })?;
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
    connector.says("Kafka does not answer")?;
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
