//! The reports of `status` and `reconcile` when a component is down: they name the stalled stage.

use anyhow::{Result, ensure};
use tests::{
    kafka::Producer, pipe::Pipe, produced::Produced, pubsub::Onlooker, recount::recount, traffic::Traffic,
    wait,
};

use crate::prepared;

#[test]
fn status_names_the_stalled_stage() -> Result<()> {
    let pipe = prepared("standing", 2)?.with("state.takeover_after", "3s");
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(3_000, 2).with_trouble(), Produced::default());
    producer.produce(traffic.by_ref().take(1_000), &mut produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    pipe.until_reconciled()?;
    reported(&pipe, &["nothing is stalled", "one member; all offsets are committed"])?;
    every_reason_is_reported(&pipe, &produced)?;

    // It remains a member of the group until its session expires.
    connector.kill()?;
    reported(
        &pipe,
        &["STALLED: connector\n", "the consumer group has no members: start `aqueduct connector`"],
    )?;
    producer.produce(traffic.by_ref().take(1_000), &mut produced)?;
    let reconcile = pipe.run(&["reconcile"])?;
    ensure!(reconcile.code == Some(1), "nothing was missing: {}", reconcile.out);
    let behind = recount(&produced)?.total() - 1_000;
    for part in
        [format!("{behind} offsets are not committed: "), format!("missing: {behind} offsets not committed")]
    {
        ensure!(
            reconcile.out.replace(',', "").contains(&part),
            "{part:?} is not reported:\n{}",
            reconcile.out
        );
    }

    processor.kill()?;
    reported(&pipe, &["STALLED: connector, processor\n", "no checkpoint for "])?;
    let mut connector = pipe.start(&["connector"])?;
    reported(
        &pipe,
        &["STALLED: processor\n", "all offsets are committed", "offsets are waiting for the processor"],
    )?;

    // Another consumer takes messages, so they do not arrive.
    let thief = Onlooker::of(&format!("{}-ctr", pipe.name()))?;
    wait::until("messages to be there", || Ok((!thief.some()?.is_empty()).then_some(())))?;
    let mut processor = pipe.start(&["processor"])?;
    reported(&pipe, &["nothing is stalled", "offsets were published and have not arrived: "])?;
    let reconcile = pipe.run(&["reconcile"])?;
    ensure!(reconcile.code == Some(1), "nothing was missing: {}", reconcile.out);
    let part = "offsets committed and not received by the processor";
    ensure!(reconcile.out.contains(part), "{}", reconcile.out);
    connector.stop()?;
    processor.stop()?;
    Ok(())
}

/// Waits until `status` reports all of this.
fn reported(pipe: &Pipe, parts: &[&str]) -> Result<()> {
    wait::until_right("status to report it", || {
        let status = pipe.run_well(&["status"])?.out;
        let lacking: Vec<&&str> = parts.iter().filter(|part| !status.contains(**part)).collect();
        Ok((!lacking.is_empty()).then(|| format!("{lacking:?} is not reported:\n{status}")))
    })
}

/// Stage, reason and count of rejected records of all partitions.
fn every_reason_is_reported(pipe: &Pipe, produced: &Produced) -> Result<()> {
    let mut expected = std::collections::BTreeMap::<_, u64>::new();
    for (partition, _, stage, reason, _) in produced.dead_letters() {
        *expected.entry((partition, stage, reason)).or_default() += 1;
    }
    for command in ["status", "reconcile"] {
        let reported: serde_json::Value =
            serde_json::from_str(&pipe.run_well(&[command, "--format", "json"])?.out)?;
        let found: Vec<_> = reported["refused"].as_array().into_iter().flatten().collect();
        ensure!(
            found.len() == expected.len() && found.len() > 6,
            "{} of {} are reported",
            found.len(),
            expected.len()
        );
        for refused in found {
            let text = |key: &str| refused[key].as_str().unwrap_or_default().to_owned();
            let partition = i32::try_from(refused["partition"].as_i64().unwrap_or(-1))?;
            let records = expected.get(&(partition, text("stage"), text("reason"))).copied();
            ensure!(refused["records"].as_u64() == records, "{command} reports {refused}, not {records:?}");
        }
    }
    Ok(())
}
