//! Rows, dead letters and ledger equal a recount, and contain no ID.

use std::time::{Duration, Instant};

use anyhow::Result;
use tests::{
    bigquery::Dataset,
    kafka::create_topic,
    pipe::Pipe,
    rows::{Database, Rows as _, check_balance, difference, finals, wait_for},
    traffic::{CANARY, Traffic},
    wait,
};

use crate::{prepared, produced};

#[test]
fn sqlite_rows_equal_a_recount() -> Result<()> {
    let pipe = prepared("sqlite-rows", 3)?;
    let (produced, recount) = produced(&pipe, Traffic::new(20_000, 3).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    wait_for(&database, &recount)?;
    let before = Instant::now();
    let connector = connector.stop()?;
    let processor = processor.stop()?;
    assert!(before.elapsed() < Duration::from_secs(30), "stopping took {:?}", before.elapsed());

    check_balance(&database, &recount)?;
    // All records existed before the start, with less disorder than out_of_orderness: no pane may fire early or twice.
    for row in database.rows()? {
        assert_eq!((row.pane.as_str(), row.index), ("ON_TIME", 0), "{row:?}");
    }
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    for text in [connector.err, connector.out, processor.err, processor.out] {
        assert!(!text.contains(CANARY), "a log contains an ID");
    }
    for name in ["rows.db", "state"] {
        assert_eq!(pipe.find(name, CANARY)?, None, "an ID is in {name}");
    }
    Ok(())
}

#[test]
fn bigquery_rows_equal_a_recount() -> Result<()> {
    let pipe = Pipe::new("bigquery-rows")?.into_bigquery()?;
    create_topic(pipe.name(), 2, &[])?;
    let first = pipe.run_well(&["setup"])?;
    let second = pipe.run_well(&["setup"])?;
    assert!(first.out.contains("created") && !second.out.contains("created"), "{}{}", first.out, second.out);

    let (produced, recount) = produced(&pipe, Traffic::new(3_000, 2).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    // The emulator is single-threaded: query it once the rows are written.
    wait::until("the rows to be written", || {
        let rows = processor.metric("aqueduct_processor_rows_total", "")?;
        Ok((rows >= recount.counts.len() as u64).then_some(()))
    })?;
    let dataset = Dataset::new(pipe.dataset())?;
    wait_for(&dataset, &recount)?;
    connector.stop()?;
    processor.stop()?;
    assert_eq!(difference(&finals(&dataset.rows()?)?, &recount.counts), None);

    let letters = dataset.table("dead_letters");
    let letters =
        dataset.query(&format!("select `partition`, `offset`, reason from {letters} order by 1, 2"))?;
    let expected = produced.dead_letters();
    let expected = expected.iter().map(|(partition, offset, _, reason, _)| {
        vec![partition.to_string().into(), offset.to_string().into(), reason.as_str().into()]
    });
    assert_eq!(letters, expected.collect::<Vec<Vec<serde_json::Value>>>());
    let latest = dataset.query(&format!("select count(*) from {}", dataset.table("box_ctr_latest")))?;
    assert_eq!(latest, [[recount.counts.len().to_string()]]);
    Ok(())
}
