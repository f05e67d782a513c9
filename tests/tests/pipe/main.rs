//! The whole pipe as its users run it: the real binary in processes of its own, a real Kafka, Google's Pub/Sub emulator,
//! an SQLite file or a BigQuery emulator; compared with a naive recount of what was produced.
//!
//! `make test` builds the binary and starts the services.

mod away;
mod configuration;
mod demo;
mod reconciled;
mod records;
mod restarts;
mod rows;

use anyhow::Result;
use tests::{
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::Produced,
    recount::{Recount, recount},
    traffic::Traffic,
};

/// A pipe with everything that it needs, into SQLite.
fn prepared(test: &str, partitions: i32) -> Result<Pipe> {
    let pipe = Pipe::new(test)?;
    create_topic(pipe.name(), partitions, &[])?;
    pipe.run_well(&["setup"])?;
    Ok(pipe)
}

/// Produces all of it, and counts it.
fn produced(pipe: &Pipe, traffic: Traffic) -> Result<(Produced, Recount)> {
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    Ok((produced, recount))
}

/// Waits until the processor's state accounts for every record: what a connector told at its end may still be on its way.
fn until_reconciled(pipe: &Pipe) -> Result<()> {
    tests::wait::until_right("reconcile to find nothing missing", || {
        let now = pipe.run(&["reconcile"])?;
        Ok((now.code != Some(0)).then_some(now.out))
    })
}
