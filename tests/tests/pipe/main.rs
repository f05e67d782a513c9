//! The whole pipeline as users run it: the real binary in separate processes, a real Kafka, Google's Pub/Sub emulator,
//! and an SQLite file or a BigQuery emulator, compared with a naive recount of the produced events.
//!
//! `make test` builds the binary and starts the services.

mod answers;
mod away;
mod browser;
mod canary;
mod demo;
mod edits;
mod examples;
mod formats;
mod outage;
mod page;
mod publishing;
mod reconciled;
mod records;
mod recovery;
mod redrive;
mod restarts;
mod results;
mod rows;
mod secured;
mod standing;
mod topics;
mod upserts;
mod versions;
mod watched;
mod writers;

use anyhow::Result;
use tests::{
    kafka::{Producer, create_topic},
    pipe::Pipe,
    process::Process,
    produced::Produced,
    recount::{Recount, recount},
    rows::{Database, check_balance, wait_for},
    traffic::Traffic,
    wait,
};

/// Waits until every offset is accounted for and every row is in its table.
fn until_written(processor: &mut Process, recount: &Recount) -> Result<()> {
    wait::until("every row to be written", || {
        let pending = processor.metric("aqueduct_processor_pending_requests", "")?;
        let offsets = processor.metric("aqueduct_processor_ledger_offsets{flow=\"box_ctr\"", "")?;
        Ok((pending == 0 && offsets == recount.total()).then_some(()))
    })
}

/// Starts a connector and produces records with every kind of trouble, while three processors write rows and are killed, one
/// after the other.
fn processors_killed(pipe: &Pipe) -> Result<(Process, Produced)> {
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(8_000, 3).with_trouble(), Produced::default());
    let connector = pipe.start(&["connector"])?;
    for _ in 0..3 {
        producer.produce(traffic.by_ref().take(2_000), &mut produced)?;
        let mut processor = pipe.start(&["processor"])?;
        wait::until("rows to be written", || {
            Ok((processor.metric("aqueduct_processor_rows_total", "")? >= 50).then_some(()))
        })?;
        processor.kill()?;
    }
    producer.produce(traffic, &mut produced)?;
    Ok((connector, produced))
}

/// A complete pipeline with SQLite.
fn prepared(test: &str, partitions: i32) -> Result<Pipe> {
    let pipe = Pipe::new(test)?;
    create_topic(pipe.name(), partitions, &[])?;
    pipe.run_well(&["setup"])?;
    Ok(pipe)
}

/// Produces records, and recounts them.
fn produced(pipe: &Pipe, traffic: Traffic) -> Result<(Produced, Recount)> {
    let mut produced = Produced::default();
    Producer::new(pipe.name(), &[])?.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    Ok((produced, recount))
}

/// Processes the records in Kafka, and compares rows and ledger with the recount.
fn carried(pipe: &Pipe, recount: &Recount) -> Result<Database> {
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    brought_to_an_end(pipe, recount, &mut connector, &mut processor)
}

/// Waits for the rows, stops both processes when nothing is missing, and compares rows and ledger with the recount.
fn brought_to_an_end(
    pipe: &Pipe,
    recount: &Recount,
    connector: &mut Process,
    processor: &mut Process,
) -> Result<Database> {
    let database = Database::open(&pipe.path("rows.db"))?;
    wait_for(&database, recount)?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    check_balance(&database, recount)?;
    Ok(database)
}
