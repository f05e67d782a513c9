//! The flows of the examples with the real services: the final rows equal a replay of the same file.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, types::Value};
use tests::{
    kafka::{Producer, create_topic},
    pipe::Pipe,
    traffic::Outgoing,
    wait,
};

/// Time and kind of a pane depend on the speed of arrival.
const OF_A_PANE: [&str; 5] = ["pane", "pane_index", "watermark", "emitted_at", "is_final"];

fn check(example: &str, flow: &str) -> Result<()> {
    check_rows(example, flow, &format!("{flow}_latest"), "")
}

/// Compares a table or view with a replay. `writer` is added to `[writer]`.
fn check_rows(example: &str, flow: &str, shown: &str, writer: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
    let pipe = Pipe::new(example)?;
    let own = fs::read_to_string(pipe.path("aqueduct.toml"))?;
    let theirs = fs::read_to_string(folder.join("aqueduct.toml"))?;
    let flows = |text: &str| -> Result<std::ops::Range<usize>> {
        let from = text.find("[anonymise]").context("[anonymise]")?;
        Ok(from..text.find("[writer]").context("[writer]")?)
    };
    pipe.write("aqueduct.toml", &own.replace(&own[flows(&own)?], &theirs[flows(&theirs)?]))?;
    pipe.edit("path = \"rows.db\"\n", &format!("path = \"rows.db\"\n{writer}"))?;
    let events = fs::read_to_string(folder.join("events.ndjson"))?;
    pipe.write("events.ndjson", &events)?;
    pipe.run_well(&["replay", "--final", "--output", "replayed.db", "events.ndjson"])?;

    create_topic(pipe.name(), 1, &[])?;
    pipe.run_well(&["setup"])?;
    let producer = Producer::new(pipe.name(), &[])?;
    for line in events.lines() {
        let value = Some(line.as_bytes().to_vec());
        producer.send(&Outgoing { partition: 0, key: None, value, refused: None })?;
    }
    producer.flush()?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    let expected = rows(&pipe.path("replayed.db"), flow)?;
    ensure!(!expected.is_empty(), "the replay has rows");
    wait::until_right("the rows of the replay", || {
        let found = rows(&pipe.path("rows.db"), shown)?;
        Ok((found != expected)
            .then(|| format!("{} of {} rows", found.intersection(&expected).count(), expected.len())))
    })?;
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop()?;
    assert_eq!(rows(&pipe.path("rows.db"), shown)?, expected);
    Ok(())
}

/// The rows of a table or view, without the pane columns.
fn rows(file: &Path, table: &str) -> Result<BTreeSet<Vec<String>>> {
    let database = Connection::open(file)?;
    let mut statement = database.prepare(&format!("SELECT * FROM {table}"))?;
    let kept: Vec<usize> = (0..statement.column_count())
        .filter(|column| !OF_A_PANE.contains(&statement.column_name(*column).unwrap_or_default()))
        .collect();
    let rows = statement.query_map([], |row| {
        kept.iter().map(|column| row.get::<_, Value>(*column).map(|value| format!("{value:?}"))).collect()
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[test]
fn revenue_by_variant() -> Result<()> {
    check("revenue", "variant_revenue")
}

#[test]
fn sessions_of_readers() -> Result<()> {
    check("sessions", "reader_session")
}

#[test]
fn upserted_sessions_of_readers() -> Result<()> {
    check_rows("sessions", "reader_session", "reader_session", "mode = \"upsert\"\n")
}

#[test]
fn daily_uniques_in_a_time_zone() -> Result<()> {
    check("daily-uniques", "section_day")
}
