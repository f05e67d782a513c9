//! One row for each window and key: the table itself equals the recount.

use anyhow::{Result, ensure};
use tests::{
    recount::{Counts, recount},
    rows::{Database, Rows as _, difference},
    wait,
};

use crate::{prepared, processors_killed};

/// The rows of the table by window and key.
fn rows(database: &Database) -> Result<Counts> {
    let mut counts = Counts::new();
    for row in database.rows()? {
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
