//! A flow is edited between two runs of the processor.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use tests::{kafka::Producer, produced::Produced, recount::recount, traffic::Traffic, wait};

use crate::{brought_to_an_end, prepared};

const LATENESS: &str = "allowed_lateness = \"2h\"\n";
/// Tolerances and measures may change.
const EDITED: &str = "allowed_lateness = \"3h\"\nearly = \"30s\"\n[flows.measures]\n\
                      both = { count = { \"/type\" = [\"view\", \"click\"] } }\n";

/// The added measure is NULL in windows that began before the edit and complete in all others; views and clicks equal
/// the recount.
#[test]
fn an_added_measure_starts_at_the_edit() -> Result<()> {
    let pipe = prepared("edited", 2)?;
    let producer = Producer::new(pipe.name(), &[])?;
    let (mut traffic, mut produced) = (Traffic::new(6_000, 2), Produced::default());
    producer.produce(traffic.by_ref().take(3_000), &mut produced)?;
    let mut connector = pipe.start(&["connector"])?;
    let mut processor = pipe.start(&["processor"])?;
    wait::until("the first half to be counted", || {
        Ok((processor.metric("aqueduct_processor_messages_total", "")? >= 3_000).then_some(()))
    })?;
    processor.signal(Signal::SIGINT)?;
    ensure!(processor.ended()?.code == Some(0), "it ends in order");

    pipe.edit(LATENESS, EDITED)?;
    producer.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor)?;

    let database = Connection::open(pipe.path("rows.db"))?;
    let count = |condition: &str| -> Result<i64> {
        let sql = format!("SELECT count(*) FROM box_ctr_latest WHERE {condition}");
        Ok(database.query_row(&sql, [], |row| row.get(0))?)
    };
    assert_eq!(count("both IS NOT NULL AND both <> views + clicks")?, 0);
    let newest_without = "(SELECT max(window_start) FROM box_ctr_latest WHERE both IS NULL)";
    assert_eq!(count(&format!("both IS NOT NULL AND window_start <= {newest_without}"))?, 0);
    ensure!(
        count("both IS NULL")? > 0 && count("both IS NOT NULL")? > 0,
        "windows on both sides of the edit"
    );

    // Any other edit is rejected with its key, before the tables change.
    for (from, to, key) in [
        ("period = \"1m\"", "period = \"2m\"", "flows[0].window"),
        ("box = \"/box\"", "place = \"/box\"", "flows[0].by"),
        ("[\"view\", \"click\"]", "[\"view\"]", "flows[0].measures.both"),
    ] {
        pipe.edit(from, to)?;
        for command in ["processor", "check"] {
            let refused = pipe.run(&[command])?;
            let (code, said) = (refused.code, refused.out + &refused.err);
            ensure!(code.is_some_and(|code| code > 0) && said.contains(key), "{command}: {code:?}: {said}");
        }
        pipe.edit(to, from)?;
    }
    let columns: i64 = database.query_row(
        "SELECT count(*) FROM pragma_table_info('box_ctr') WHERE name = 'place'",
        [],
        |row| row.get(0),
    )?;
    assert_eq!(columns, 0);
    Ok(())
}
