//! One row for each window and key: the table itself equals the recount.

use anyhow::{Result, ensure};
use doubles::bigquery::Fault;
use tests::{
    bigquery::StandIn,
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::Produced,
    recount::{Counts, recount},
    rows::{Database, Rows, difference, finals, wait_for},
    traffic::Traffic,
    wait,
};
use tonic::Code;

use crate::{prepared, processors_killed, produced, until_written};

/// The rows of the table by window and key.
fn rows(table: &impl Rows) -> Result<Counts> {
    let mut counts = Counts::new();
    for row in table.rows()? {
        let is_new = counts.insert(row.key.clone(), (row.views, row.clicks)).is_none();
        ensure!(is_new, "{:?} has two rows", row.key);
    }
    Ok(counts)
}

#[test]
fn upserted_rows_equal_a_recount_under_kills() -> Result<()> {
    let pipe = prepared("upserts", 3)?;
    let other = "path = \"rows.db\"\nmode = \"upsert\"";
    pipe.edit("path = \"rows.db\"", other)?;
    let refused = pipe.run(&["setup"])?;
    ensure!(
        refused.code == Some(1) && refused.err.contains("writer.mode"),
        "{:?} {}",
        refused.code,
        refused.err
    );
    std::fs::remove_file(pipe.path("rows.db"))?;
    pipe.run_well(&["setup"])?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"2h\"\nearly = \"1s\"")?;
    // Messages of a killed processor are redelivered when their lease ends; a cold start must not end before.
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;

    let (mut connector, produced) = processors_killed(&pipe)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait::until_right("the rows", || Ok(difference(&rows(&database)?, &recount.counts)))?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    assert_eq!(difference(&rows(&database)?, &recount.counts), None);
    assert_eq!(database.latest()?.0, recount.counts);
    assert_eq!(database.ledger()?, recount.ledger);
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    ensure!(database.rows()?.iter().any(|row| row.index > 0), "no pane was replaced");
    Ok(())
}

/// A BigQuery that stores changes several times and in any order, loses answers, and processors that are killed around an
/// append.
#[test]
fn bigquery_upserts_equal_a_recount_under_kills_and_lost_answers() -> Result<()> {
    let standin = StandIn::start()?;
    let pipe = Pipe::new("bigquery-upserts")?.into_bigquery_at(&standin.url(), &standin.url())?;
    create_topic(pipe.name(), 3, &[])?;
    pipe.run_well(&["setup"])?;
    pipe.edit("location = \"EU\"", "location = \"EU\"\nmode = \"upsert\"")?;
    for command in ["setup", "check"] {
        let refused = pipe.run(&[command])?;
        ensure!(
            refused.code == Some(1) && format!("{}{}", refused.out, refused.err).contains("writer.mode"),
            "{:?} {} {}",
            refused.code,
            refused.out,
            refused.err
        );
    }
    pipe.edit(&format!("dataset = \"{}\"", pipe.dataset()), "dataset = \"upserts\"")?;
    for state in ["created", "exists"] {
        let setup = pipe.run_well(&["setup"])?;
        ensure!(setup.out.contains(&format!("table box_ctr: {state}")), "{}", setup.out);
    }
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"2h\"\nearly = \"1s\"")?;
    // Messages of a killed processor are redelivered when their lease ends; a cold start must not end before.
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;

    let dataset = standin.dataset("upserts".to_owned());
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(6_000, 3).with_trouble(), Produced::default());
    let mut connector = pipe.start(&["connector"])?;
    let lost = [Fault::AnswerLost, Fault::CutBefore, Fault::CutAfter, Fault::Answer(Code::ResourceExhausted)];
    for (fault, killed) in lost.into_iter().zip([Fault::HangBefore, Fault::HangAfter].into_iter().cycle()) {
        producer.produce(traffic.by_ref().take(1_000), &mut produced)?;
        standin.faults().next("box_ctr", fault);
        standin.faults().next("box_ctr", killed);
        let mut processor = pipe.start(&["processor"])?;
        wait::until("the faults to be met", || Ok((standin.faults().waiting() == 0).then_some(())))?;
        processor.kill()?;
    }
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    wait::until_right("the rows", || Ok(difference(&rows(&dataset)?, &recount.counts)))?;
    connector.stop()?;
    until_written(&mut processor, &recount)?;
    processor.stop()?;
    assert_eq!(difference(&rows(&dataset)?, &recount.counts), None);
    let letters = dataset.table("dead_letters");
    assert_eq!(
        dataset.number(&format!("select count(*) from {letters}"))?,
        produced.dead_letters().len() as u64
    );
    ensure!(dataset.rows()?.iter().any(|row| row.index > 0), "no pane was replaced");
    Ok(())
}

#[test]
fn a_refused_change_is_a_dead_letter() -> Result<()> {
    const REFUSED: &str = "/p/3";
    let standin = StandIn::start()?;
    let pipe = Pipe::new("refused-upserts")?.into_bigquery_at(&standin.url(), &standin.url())?;
    pipe.edit("location = \"EU\"", "location = \"EU\"\nmode = \"upsert\"")?;
    create_topic(pipe.name(), 1, &[])?;
    pipe.run_well(&["setup"])?;
    let dataset = standin.dataset(pipe.dataset());
    standin.faults().refuse(REFUSED);
    let (_, mut recount) = produced(&pipe, Traffic::new(600, 1))?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let all = recount.counts.len();
    recount.counts.retain(|(_, page, _), _| page.as_deref() != Some(REFUSED));
    let refused = (all - recount.counts.len()) as u64;
    ensure!(refused > 0, "no row is refused");
    wait_for(&dataset, &recount)?;
    let table = dataset.table("dead_letters");
    let letters = || {
        let of = "stage = 'writer' and `topic` = 'box_ctr' and reason = 'fields_error'";
        dataset.number(&format!("select count(*) from {table} where {of}"))
    };
    wait::until("the refused rows to be dead letters", || Ok((letters()? >= refused).then_some(())))?;
    connector.stop()?;
    processor.stop()?;
    assert_eq!(letters()?, refused);
    assert_eq!(difference(&finals(&dataset.rows()?)?, &recount.counts), None);
    Ok(())
}
