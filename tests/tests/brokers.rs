//! The broker restarts or stops responding while connectors run. A separate binary, because all other tests share the
//! broker.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use tests::{
    pipe::Pipe,
    process::Process,
    proxy::Proxy,
    recount::recount,
    rows::{Database, check_balance, wait_for},
    services::{self, restart_kafka},
    topics::Topics,
    wait,
};

/// A running pipeline with a topic of three partitions.
struct Line {
    pipe: Pipe,
    topics: Topics,
    processor: Process,
    connector: Process,
}

impl Line {
    /// `instance` is the group instance ID of the connector; an empty one makes it a dynamic member.
    fn start(name: &str, instance: &str) -> Result<Self> {
        Self::start_in(Pipe::new(name)?.with("kafka.group_instance_id", instance))
    }

    fn start_in(pipe: Pipe) -> Result<Self> {
        let topics = Topics::new(&pipe, 3, 1_000)?;
        pipe.run_well(&["setup"])?;
        let (processor, connector) = (pipe.start(&["processor"])?, pipe.start(&["connector"])?);
        Ok(Self { pipe, topics, processor, connector })
    }

    fn until_read(&self) -> Result<()> {
        wait::until_right("everything to be committed", || {
            // A broker that has just restarted does not have its groups loaded yet.
            let unread = self.topics.unread(self.pipe.name());
            Ok(unread.unwrap_or_else(|error| Some(format!("{error:#}"))))
        })
    }

    fn finish(mut self) -> Result<()> {
        self.until_read()?;
        let recount = recount(&self.topics.produced())?;
        let database = Database::open(&self.pipe.path("rows.db"))?;
        wait_for(&database, &recount)?;
        self.connector.stop()?;
        self.pipe.until_reconciled()?;
        self.processor.stop()?;
        check_balance(&database, &recount)
    }
}

/// One test at a time: one of them restarts the broker, and there is one proxy address.
fn alone() -> MutexGuard<'static, ()> {
    static BROKER: Mutex<()> = Mutex::new(());
    BROKER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each restart raises the epoch of the partitions' leaders; the recreated topic begins at 0 again.
#[test]
fn a_topic_recreated_after_broker_restarts_is_read() -> Result<()> {
    let _alone = alone();
    let mut lines = Vec::new();
    for (name, instance, partitions) in
        [("same", "member", 3), ("fewer", "member", 1), ("more", "member", 4), ("regular", "", 2)]
    {
        lines.push((Line::start(&format!("recreated-{name}"), instance)?, partitions));
    }
    for _ in 0..2 {
        restart_kafka()?;
        for (line, _) in &mut lines {
            line.topics.more()?;
        }
        for (line, _) in &lines {
            line.until_read()?;
        }
    }
    for (line, partitions) in &mut lines {
        line.topics.recreate(*partitions)?;
    }
    for (line, _) in lines {
        let name = line.pipe.name().to_owned();
        line.finish().with_context(|| name)?;
    }
    Ok(())
}

/// Connections to Kafka stay open without traffic, so that no commit is answered and the member cannot leave the group.
#[test]
fn a_connector_stops_while_kafka_is_silent() -> Result<()> {
    let _alone = alone();
    let kafka =
        Proxy::at(&services::address(services::KAFKA_FRONT)?, &services::address(services::KAFKA_BEHIND)?);
    let pubsub = Proxy::closed(&services::address(services::PUBSUB)?)?;
    kafka.open()?;
    pubsub.open()?;
    for (name, instance) in [("silent-static", "member"), ("silent-regular", "")] {
        let pipe = Pipe::new(name)?
            .with("kafka.group_instance_id", instance)
            .with("kafka.bootstrap_servers", kafka.address())
            .with("pubsub.emulator_host", pubsub.address());
        let mut line = Line::start_in(pipe)?;
        line.until_read()?;
        pubsub.hold(true);
        line.topics.more()?;
        let in_flight = "aqueduct_connector_in_flight_bytes";
        wait::until("records to be read", || Ok((line.connector.metric(in_flight, "")? > 0).then_some(())))?;
        kafka.hold(true);
        pubsub.hold(false);
        wait::until("them to be published", || {
            Ok((line.connector.metric(in_flight, "")? == 0).then_some(()))
        })?;
        line.connector.stop()?;
        let unread = line.topics.unread(line.pipe.name())?;
        ensure!(unread.is_some(), "everything was committed before Kafka fell silent");
        kafka.hold(false);
        line.connector = line.pipe.start(&["connector"])?;
        line.finish().context(name)?;
    }
    Ok(())
}
